"""Callers that were turned away, on record: a key that is known with its tenant, one that is not
with the operator. Nothing of what was sent as a key is kept.
"""

from ..capture import AuditService
from ..domain.access import OPERATOR_TENANT_ID, Principal
from ..telemetry import REFUSED
from .counted import Case, Counted


class Refusals:
    """Puts refusals on record.

    Args:
        audits: where to.
    """

    def __init__(self, audits: AuditService) -> None:
        self._counted = Counted(audits, "refused")

    def note(
        self, reason: str, principal: Principal | None, address: str | None, asked: str = ""
    ) -> None:
        """Count a refusal.

        Args:
            reason: unknown, expired, revoked, network, inactive, scope or quota.
            asked: the scope that is missing, or the quota that is used up.
        """
        REFUSED.labels(reason).inc()
        self._counted.note(
            Case(
                tenant_id=principal.tenant_id if principal else OPERATOR_TENANT_ID,
                action="refuse",
                resource_type="api_key",
                resource_id=str(principal.key_id) if principal else "unknown",
                prefix=principal.prefix if principal else None,
                address=None,
                about=(("reason", reason), *((("asked", asked),) if asked else ())),
            ).at(address)
        )

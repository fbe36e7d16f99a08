"""What people read of payloads, on record, and what files anybody takes along: who holds a key says
whether a person reads by it.

What a machine reads it was given to process, thousands of times a day; what a person looks at is a
decision of that person.
"""

from collections.abc import Callable
from uuid import UUID

from ..auth import current_principal
from ..capture import AuditService
from ..domain.access import Holder, Scope
from .counted import Case, Counted

LEAVES = "read, if a person's key is shown payloads"


class Readings:
    """Puts readings on record, in the log of the tenant whose records were read.

    Args:
        audits: where to.
        address: tells the address of the current request's caller.
    """

    def __init__(self, audits: AuditService, address: Callable[[], str | None]) -> None:
        self._counted = Counted(audits, "success")
        self._address = address

    def note(self, resource_type: str, resource_id: str) -> None:
        """Note that the current request is shown the payloads of something, if a person asks."""
        principal = current_principal()
        if principal is None or principal.holder != Holder.HUMAN:
            return
        if Scope.LOGS_READ_PAYLOADS not in principal.scopes:
            return
        self._counted.note(
            Case(
                tenant_id=principal.tenant_id,
                action="read",
                resource_type=resource_type,
                resource_id=resource_id,
                prefix=principal.prefix,
                address=None,
            ).at(self._address())
        )

    def note_download(self, tenant_id: UUID, export_id: str, requested_by: str) -> None:
        """Note that the file of an export is taken along, by whoever has the link; the parts that a
        download is resumed by are counted.
        """
        self._counted.note(
            Case(
                tenant_id=tenant_id,
                action="download",
                resource_type="export",
                resource_id=export_id,
                prefix=None,
                address=None,
                about=(("requested_by", requested_by),),
            ).at(self._address())
        )

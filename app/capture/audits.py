"""AuditService: how a system change is put on record."""

from collections.abc import Mapping
from typing import Any, Unpack
from uuid import UUID

from ..telemetry import get_logger
from .hooks import request_tenant
from .recorder import Recorder, current_recorder
from .terms import TermsGiven

log = get_logger(__name__)


class AuditService:
    """Puts system changes on record, with who, what, when, where, before and after.

    User, IP address and user agent are taken from the current request when not given.

    Args:
        recorder: where to; the current app's if not given.
        terms: of every record that does not name its own: wait=True (with timeout_s) to return
            once Postgres has committed it, on_full="raise" to be told where there is no room.
    """

    def __init__(self, recorder: Recorder | None = None, **terms: Unpack[TermsGiven]) -> None:
        self._recorder = recorder
        self._terms = terms

    def log_change(
        self,
        *,
        tenant_id: UUID | str | None = None,
        action: str,
        resource_type: str,
        resource_id: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        ip_address: str | None = None,
        user_agent: str | None = None,
        operation_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        **terms: Unpack[TermsGiven],
    ) -> UUID:
        """Put a change on record; `before` and `after` are kept whole.

        Which top-level fields differ is noted in metadata.changed_fields.

        Returns:
            The record's id, a UUIDv7.

        Raises:
            InvalidRecord: names the field and the rule it breaks. Nothing else is ever raised
                without terms.
            NotYetCommitted: waited in vain; the record is on this host's disk and will be shipped.
            RecordRefused: waited, and Postgres refused the record; it is a dead letter.
            NotDurable: it is kept, but the disk did not confirm it.
            SpoolFull: on terms only; the record was not kept.
        """
        changes = {
            name: value
            for name, value in (("before", before), ("after", after))
            if value is not None
        }
        recorder = self._recorder or current_recorder()
        asked: TermsGiven = {**self._terms, **terms}
        return recorder.record_audit(
            {
                "tenant_id": tenant_id if tenant_id is not None else request_tenant(),
                "action": action,
                "resource_type": resource_type,
                "resource_id": resource_id,
                "changes": changes,
                "user_id": user_id,
                "ip_address": ip_address,
                "user_agent": user_agent,
                "operation_id": operation_id,
                "metadata": _noted(metadata, before, after),
            },
            **asked,
        )

    def log_create(self, *, data: Mapping[str, Any], **where: Any) -> UUID:
        """Put on record that a resource was made; `data` is what it is now."""
        return self.log_change(action="create", after=data, **where)

    def log_update(
        self, *, before: Mapping[str, Any], after: Mapping[str, Any], **where: Any
    ) -> UUID:
        """Put on record that a resource was changed."""
        return self.log_change(action="update", before=before, after=after, **where)

    def log_delete(self, *, data: Mapping[str, Any], **where: Any) -> UUID:
        """Put on record that a resource was removed; `data` is what it was."""
        return self.log_change(action="delete", before=data, **where)


def _noted(metadata: Any, before: Any, after: Any) -> Any:
    """The metadata with the names of what differs, where that can be told."""
    try:
        return {**(metadata or {}), "changed_fields": changed_fields(before, after)}
    except Exception as error:  # values that refuse to be compared must not break their request
        log.warning("changed fields not known", error=repr(error))
        return metadata


def changed_fields(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    """The top-level fields that differ, were added or were removed, by name."""
    old, new = before or {}, after or {}
    missing = object()
    return sorted(
        {
            str(name)
            for name in (*old, *new)
            if _differ(old.get(name, missing), new.get(name, missing))
        }
    )


def _differ(old: Any, new: Any) -> bool:
    return bool(old != new) or isinstance(old, bool) != isinstance(new, bool)  # 1 is not true

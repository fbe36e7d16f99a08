"""Claims: what a caller may say of a record's identity, and the id that follows from it.

Id and created_at are one thing, so no claim can give a record two times. A claim that names the
record, by id or by external_id, leads to the same id however often it is made.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ..errors import InvalidRecord
from .identity import (
    EPOCH,
    MILLISECOND,
    created_at_of,
    derived_id,
    format_time,
    is_record_id,
    redated,
)
from .records import IDENTIFIER_CHARS_MAX, Kind, text

AHEAD_MAX = timedelta(minutes=5)  # more is no clock that is a little off, but a mistake
KEYLESS_RULE = (
    "is not taken on this platform, which has no OPSLEDGER_EXTERNAL_ID_KEY; send id instead"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a caller says of a record's identity; None where it says nothing."""

    id: UUID | None = None
    created_at: datetime | None = None
    external_id: str | None = None

    def resolve(
        self, *, tenant_id: UUID, kind: Kind, key: bytes, now: datetime, fresh: UUID
    ) -> UUID:
        """The record's id.

        Args:
            key: the platform's secret for external ids; empty if it has none.
            now: the present time in UTC.
            fresh: an id made now; stands, or lends its random bits, where the claim names none.

        Raises:
            InvalidRecord: names the field and the rule it breaks.
        """
        self._check_company()
        record_id = self._resolve(tenant_id, kind, key, fresh)
        if record_id != fresh and created_at_of(record_id) > now + AHEAD_MAX:
            field = "id" if self.created_at is None else "created_at"
            minutes = AHEAD_MAX // timedelta(minutes=1)
            rule = f"must not be more than {minutes} minutes ahead; it is {format_time(now)}"
            raise InvalidRecord(field, rule)
        return record_id

    def _check_company(self) -> None:
        """Refuse parts that do not go together."""
        if self.external_id is None:
            return
        if self.id is not None:
            raise InvalidRecord("external_id", "must not be combined with id: one names the record")
        if self.created_at is None:
            raise InvalidRecord("external_id", "needs created_at, the other half of the identity")

    def _resolve(self, tenant_id: UUID, kind: Kind, key: bytes, fresh: UUID) -> UUID:
        if self.id is not None:
            return self._given()
        if self.created_at is None:
            return fresh
        if self.created_at < EPOCH:
            raise InvalidRecord("created_at", f"must not be before {format_time(EPOCH)}")
        if self.external_id is None:
            return redated(fresh, self.created_at)
        external_id = text("external_id", self.external_id, IDENTIFIER_CHARS_MAX)
        if not key:
            raise InvalidRecord("external_id", KEYLESS_RULE)
        return derived_id(
            key, tenant_id=tenant_id, kind=kind, external_id=external_id, moment=self.created_at
        )

    def _given(self) -> UUID:
        if self.id is None or not is_record_id(self.id):
            raise InvalidRecord(
                "id", "must be a UUIDv7: version 7, of a time before the year 10000"
            )
        made = created_at_of(self.id)
        if self.created_at is not None and (self.created_at - made) // MILLISECOND != 0:
            rule = f"must be the millisecond of id, {format_time(made)}, or be left out"
            raise InvalidRecord("created_at", rule)
        return self.id

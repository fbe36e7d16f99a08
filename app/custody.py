"""What keeps records although their time is up, and what removes a person from them before: legal
holds and erasures, the same by commands and over HTTP.

Each change is one transaction, and put on record in the log of the tenant that it concerns.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from .administration import PutOnRecord, managing, the_tenant
from .domain.erasure import Erasure, ErasureState, read_subject
from .domain.holds import Hold, check_reason, read_target
from .domain.identity import read_uuid
from .errors import Conflict, NotFound
from .store import erasures
from .store import holds as store
from .store.session import Database


class NoSuchHold(NotFound):
    """There is no such legal hold."""


class NoSuchErasure(NotFound):
    """There is no such erasure."""


class Custody:
    """Holds, placed and released; erasures, asked for and confirmed.

    Args:
        database: the maintenance role's.
        put_on_record: called after each change.
        who: tells who asks for it.
    """

    def __init__(
        self, database: Database, put_on_record: PutOnRecord, *, who: Callable[[], str]
    ) -> None:
        self._database = database
        self._put_on_record = put_on_record
        self._who = who

    def place_hold(
        self,
        tenant: str,
        reason: str,
        *,
        resource_type: str | None = None,
        resource_id: str | None = None,
        user_id: str | None = None,
    ) -> Hold:
        """Keep all of a tenant, or of one resource or user, from being purged and erased.

        What is being removed at this moment is waited for; nothing is removed afterwards.

        Raises:
            NoSuchTenant: there is none of this slug or id.
            InvalidInput: names the field and its rule.
        """
        target = read_target(resource_type, resource_id, user_id)
        check_reason(reason)
        with managing(self._database) as session:
            found = the_tenant(session, tenant, lock=True)
            hold = Hold(
                tenant_id=found.id,
                id=uuid7(),
                target=target,
                reason=reason,
                placed_by=self._who(),
                placed_at=datetime.now(UTC),
            )
            store.add_hold(session, hold)
        self._put_on_record(found.id, "place", "legal_hold", str(hold.id), after=described(hold))
        return hold

    def holds(
        self,
        tenant: str | None = None,
        *,
        released: bool = False,
        after: UUID | None = None,
        limit: int | None = None,
    ) -> list[Hold]:
        """Holds in the order they were placed, of one tenant or all.

        Args:
            released: whether those that are over are wanted too.

        Raises:
            NoSuchTenant: there is none of this slug or id.
        """
        with managing(self._database) as session:
            tenant_id = None if tenant is None else the_tenant(session, tenant).id
            return store.list_holds(session, tenant_id, released=released, after=after, limit=limit)

    def hold(self, hold_id: str) -> Hold:
        """One hold, in force or not.

        Raises:
            NoSuchHold: there is none of this id.
        """
        with managing(self._database) as session:
            return _hold(session, hold_id)

    def release_hold(self, hold_id: str) -> Hold:
        """End a hold; what it alone kept may go from now on.

        Raises:
            NoSuchHold: there is none of this id.
            Conflict: it was released already.
        """
        with managing(self._database) as session:
            hold = _hold(session, hold_id, lock=True)
            if hold.released_at is not None:
                raise Conflict(f"Legal hold {hold.id} was released already")
            by, at = self._who(), datetime.now(UTC)
            store.release_hold(session, hold, by=by, at=at)
        self._put_on_record(
            hold.tenant_id, "release", "legal_hold", str(hold.id), before=described(hold)
        )
        return replace(hold, released_by=by, released_at=at)

    def request_erasure(self, tenant: str, kind: str, value: str) -> Erasure:
        """Have a worker look what erasing a person would find.

        Args:
            kind: what the person is known by, user_id or email.

        Raises:
            NoSuchTenant: there is none of this slug or id.
            InvalidInput: names the field and its rule.
        """
        subject = read_subject(kind, value)
        with managing(self._database) as session:
            found = the_tenant(session, tenant)
            erasure = Erasure(
                tenant_id=found.id,
                id=uuid7(),
                subject_kind=subject.kind,
                subject=subject,
                state=ErasureState.REQUESTED,
                requested_by=self._who(),
                requested_at=datetime.now(UTC),
            )
            erasures.add_erasure(session, erasure, subject)
        # Whom it is of is not for the log, of which it would have to be erased.
        about = {"known_by": subject.kind.value}
        self._put_on_record(found.id, "request", "erasure", str(erasure.id), after=about)
        return erasure

    def confirm_erasure(self, erasure_id: str) -> Erasure:
        """Have a worker erase what a preview found.

        Raises:
            NoSuchErasure: there is none of this id.
            Conflict: it has no preview yet, or was confirmed already, or is over.
        """
        with managing(self._database) as session:
            erasure = _erasure(session, erasure_id, lock=True)
            if erasure.state is not ErasureState.PREVIEWED:
                raise Conflict(f"Erasure {erasure.id} is {erasure.state}; previewed ones can be")
            values = {"confirmed_by": self._who(), "confirmed_at": datetime.now(UTC)}
            erasures.note_erasure(session, erasure, ErasureState.CONFIRMED, **values)
            confirmed = _erasure(session, erasure_id)
        about = {"known_by": erasure.subject_kind.value, "preview": erasure.report}
        self._put_on_record(erasure.tenant_id, "confirm", "erasure", str(erasure.id), after=about)
        return confirmed

    def erasures(
        self, tenant: str | None, *, after: UUID | None = None, limit: int
    ) -> list[Erasure]:
        """Erasures in the order they were asked for, of one tenant or all.

        Raises:
            NoSuchTenant: there is none of this slug or id.
        """
        with managing(self._database) as session:
            tenant_id = None if tenant is None else the_tenant(session, tenant).id
            return erasures.list_erasures(session, tenant_id, after=after, limit=limit)

    def erasure(self, erasure_id: str) -> Erasure:
        """One erasure, and how it stands.

        Raises:
            NoSuchErasure: there is none of this id.
        """
        with managing(self._database) as session:
            return _erasure(session, erasure_id)


def described(hold: Hold) -> dict[str, Any]:
    """What an audit log says of a hold."""
    of = {name: getattr(hold.target, name) for name in ("resource_type", "resource_id", "user_id")}
    said = {"scope": hold.target.scope.value, **of, "reason": hold.reason}
    return {name: value for name, value in said.items() if value is not None}


def _hold(session: Any, hold_id: str, *, lock: bool = False) -> Hold:
    wanted = read_uuid(hold_id)
    found = store.find_hold(session, wanted, lock=lock) if wanted else None
    if found is None:
        raise NoSuchHold(f"There is no legal hold {hold_id!r}")
    return found


def _erasure(session: Any, erasure_id: str, *, lock: bool = False) -> Erasure:
    wanted = read_uuid(erasure_id)
    found = erasures.find_erasure(session, wanted, lock=lock) if wanted else None
    if found is None:
        raise NoSuchErasure(f"There is no erasure {erasure_id!r}")
    return found

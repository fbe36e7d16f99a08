"""What every change of an operator's goes through: a transaction over all tenants, and a record."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import UUID

from ..domain.access import Tenant
from ..errors import NotFound, NotManagedHere
from ..store import tenants as store
from ..store.session import Database


class NoSuchTenant(NotFound):
    """There is no such tenant."""


class PutOnRecord(Protocol):
    """How a change is noted, with who made it and from where."""

    def __call__(
        self,
        tenant_id: UUID,
        action: str,
        resource_type: str,
        resource_id: str,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        """Note it in the tenant's audit log."""


@contextmanager
def managing(database: Database, *, snapshot: bool = False) -> Iterator[Any]:
    """A transaction over all tenants.

    Args:
        snapshot: whether it sees one state throughout.

    Raises:
        NotManagedHere: the role may not manage them.
    """
    with database.unrestricted_unsafe(snapshot=snapshot) as session:
        if not store.may_manage(session):
            raise NotManagedHere
        yield session


def the_tenant(session: Any, name: str, *, lock: bool = False) -> Tenant:
    """The tenant of a slug or id.

    Args:
        lock: whether nobody else shall change it before this transaction ends.

    Raises:
        NoSuchTenant: there is none.
    """
    found = store.find_tenant(session, name, lock=lock)
    if found is None:
        raise NoSuchTenant(f"There is no tenant {name!r}")
    return found

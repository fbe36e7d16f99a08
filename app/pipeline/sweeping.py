"""Sweeping: objects that a run left behind, which was cut short, are removed."""

from ..domain.archive import TenantDay
from ..store.archives import registered_keys
from ..store.objects import Objects
from ..store.session import Database


def sweep(database: Database, objects: Objects, of: TenantDay) -> None:
    """Remove the objects of a day that are not registered; only the archive's sole runner may."""
    with database.unrestricted_unsafe() as session:
        keys = registered_keys(session, of)
    for key in objects.list(of.prefix):
        if key not in keys:
            objects.delete(key)

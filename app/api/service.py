"""What the views of one app share: its database, its providers, and who is asking."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from uuid import UUID

import flask
from cachetools import TTLCache, cached

from ..administration import Administration
from ..auth import current_principal
from ..config import Settings
from ..custody import Custody
from ..errors import Unauthenticated
from ..pipeline.figures import Figures
from ..pipeline.relay import Relay
from ..providers import Providers
from ..store.action_types import list_action_types
from ..store.cold import ColdStore
from ..store.objects import Objects
from ..store.replica import ReadDatabase
from ..store.session import Database
from .readings import Readings

SERVICE = "opsledger-service"  # the key in Flask's app.extensions
ACTION_TYPES_SECONDS = 5.0


class Service:
    """The collaborators of the views."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        reads: ReadDatabase,
        cold: ColdStore,
        exports: Objects,
        providers: Providers,
        administration: Administration,
        custody: Custody,
        readings: Readings,
    ) -> None:
        self.settings = settings
        self.database = database
        self.reads = reads
        self.cold = cold
        self.exports = exports
        self.providers = providers
        self.figures = Figures(settings, database)
        self.administration = administration
        self.custody = custody
        self.readings = readings
        self.relay = Relay(database, settings)
        remembered: TTLCache[Any, frozenset[str]] = TTLCache(1, ACTION_TYPES_SECONDS)
        self.action_types = cached(remembered, lock=Lock())(self._action_types)

    def _action_types(self) -> frozenset[str]:
        with self.database.unrestricted_unsafe() as session:
            return frozenset(list_action_types(session))


def current_service() -> Service:
    """The service of the current app."""
    service: Service = flask.current_app.extensions[SERVICE]
    return service


def current_tenant() -> UUID:
    """The tenant that asks; the view is guarded by `requires`."""
    principal = current_principal()
    if principal is None:
        raise Unauthenticated
    return principal.tenant_id


@contextmanager
def reading(*, snapshot: bool = False) -> Iterator[tuple[Any, UUID]]:
    """A transaction of the tenant that asks, and that tenant.

    Args:
        snapshot: whether all its statements shall see the ledger at one and the same moment.
    """
    tenant_id = current_tenant()
    with current_service().reads.tenant(tenant_id, snapshot=snapshot) as session:
        yield session, tenant_id

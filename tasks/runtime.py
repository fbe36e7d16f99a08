"""What the tasks of one worker process share, made at first use."""

from functools import cached_property, lru_cache

from app.broker import broker_of
from app.config import Settings, load_settings
from app.pipeline.commits import Announcer
from app.pipeline.forwarding import Forwarder
from app.pipeline.persist import Persister
from app.pipeline.shipper import Shipper
from app.pipeline.shipping import open_shipper, open_spool
from app.store.session import Database
from app.worker import Parcels

PARCEL_TIMEOUT_S = 5.0  # a worker may wait for a slow broker


class Runtime:
    """The collaborators of the tasks.

    The shipper is this host's too: it adopts the spool files of web processes that died.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def database(self) -> Database:
        """The worker role's pool."""
        return Database.connect(self.settings.url_of("worker"))

    @cached_property
    def maintenance_database(self) -> Database:
        """The maintenance role's pool."""
        return Database.connect(self.settings.url_of("maintenance"))

    @cached_property
    def persister(self) -> Persister:
        """Commits shipments."""
        return Persister(
            self.database,
            hot_days=self.settings.hot_days,
            tenants_shown=self.settings.metrics_tenants,
        )

    @cached_property
    def announcer(self) -> Announcer:
        """Tells streams of commits."""
        return Announcer(broker_of(self.settings), self.settings.broker_timeout_s)

    @cached_property
    def parcels(self) -> Parcels:
        """The bytes of the shipments that tasks name."""
        return Parcels(broker_of(self.settings), PARCEL_TIMEOUT_S)

    @cached_property
    def forwarder(self) -> Forwarder:
        """Sends records on."""
        return Forwarder(self.maintenance_database, self.settings)

    @cached_property
    def shipper(self) -> Shipper:
        """Ships what this host's dead processes left behind."""
        return open_shipper(open_spool(self.settings), self.database, self.settings)


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """The runtime of this process."""
    return Runtime(load_settings())

"""Opsledger, the Flask extension: capture for an app, with its spool and its shipper.

All that a host application needs to write records; the query API is the service's, not its.
"""

import atexit
from collections.abc import Callable
from uuid import UUID

import flask

from .capture import Recorder, RequestValues, install_hooks
from .capture.policies import Policies
from .capture.recorder import EXTENSION, set_process_recorder
from .config import Settings, load_settings
from .domain.records import Record
from .pipeline.remote import RemoteLedger, open_remote_shipper
from .pipeline.shipper import Shipper
from .pipeline.shipping import open_shipper, open_spool
from .spool import Spool
from .store.action_types import list_action_types
from .store.policies import list_policies
from .store.presence import holds_record
from .store.session import Database


class Opsledger:
    """Capture for a Flask app.

    >>> opsledger = Opsledger(tenant_id=lambda: g.user.tenant_id, user_id=lambda: g.user.email)
    >>> opsledger.init_app(app)

    Args:
        app: the app; or leave it out and call init_app later.
        settings: from the environment if not given.
        tenant_id: says the current request's tenant, for records that do not name one.
        user_id: says who makes the current request, for audit records that do not name anyone.
    """

    recorder: Recorder
    shipper: Shipper
    _learn: Callable[[], None]
    _holds: Callable[[Record], bool]
    _disconnect: Callable[[], None]

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        settings: Settings | None = None,
        tenant_id: Callable[[], UUID | None] = lambda: None,
        user_id: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.settings = settings or load_settings()
        self.request_values = RequestValues(tenant_id, user_id)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask, database: Database | None = None) -> None:
        """Wire capture into an app; threads and connections come at the first record.

        Args:
            database: reads the receipts of shipments; by DATABASE_URL if not given, unless
                OPSLEDGER_SHIP_URL names another Opsledger that takes the records.
        """
        spool = open_spool(self.settings)
        if self.settings.ship_url and database is None:
            self._reach_remote(spool)
        else:
            self._reach(spool, database or Database.connect(self.settings.database_url))
        self._policies = Policies(self.settings.policies_path, self.settings.redaction_key)
        self._policies.ask = self.shipper.notify
        self.recorder = Recorder(
            spool,
            payload_bytes_max=self.settings.payload_bytes_max,
            record_bytes_max=self.settings.record_bytes_max,
            notify=self.shipper.notify,
            learn=self._learn,
            wait=self.shipper.await_receipt,
            is_stored=self._holds,
            policies=self._policies,
        )
        app.extensions[EXTENSION] = self
        set_process_recorder(self.recorder)
        install_hooks(
            app,
            self.recorder,
            trusted_proxies=self.settings.trusted_proxies,
            start=self.shipper.start,
        )
        atexit.register(self.shipper.stop)

    def close(self, *, grace_s: float | None = None) -> None:
        """End the shipper's thread and close the connections; what waits, waits on disk.

        Args:
            grace_s: for what can still be shipped, in seconds; by the settings if not given.
        """
        self.shipper.stop(grace_s)
        self._disconnect()
        atexit.unregister(self.shipper.stop)

    def _reach(self, spool: Spool, database: Database) -> None:
        """Ship to the broker, and read receipts in the database."""

        def learn() -> None:
            """Ask the platform for its action types and its tenants' redaction policies."""
            try:
                with database.unrestricted_unsafe() as session:
                    self.recorder.action_types = frozenset(list_action_types(session))
                    self._policies.learn(list_policies(session))
            finally:
                self._policies.answered = True

        def holds(record: Record) -> bool:
            with database.tenant(record.tenant_id) as session:
                return holds_record(session, record)

        self.shipper = open_shipper(spool, database, self.settings, learn)
        self._learn, self._holds, self._disconnect = learn, holds, database.close

    def _reach_remote(self, spool: Spool) -> None:
        """Ship to another Opsledger, which also says what it has."""

        def learn() -> None:
            """Action types and policies are known, and applied, where the records are taken."""
            self._policies.answered = True

        ledger = RemoteLedger(self.settings)
        self.shipper = open_remote_shipper(spool, ledger, self.settings, learn)
        self._learn, self._holds, self._disconnect = learn, ledger.holds, ledger.close

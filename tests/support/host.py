"""A host application of somebody else: a small Flask app, without broker or database.

What its requests captured is read back from the spool, as the next process would.
"""

from pathlib import Path
from typing import Any

import flask
from flask.testing import FlaskClient

from app import AuditService, Opsledger, log_action
from app.capture.recorder import EXTENSION
from app.config import Settings
from app.domain.records import Record
from tests.support.samples import TENANT, recover_records

NOWHERE = {  # nothing listens on port 1: broker and database are down, and say so at once
    "database_url": "postgresql+psycopg2://nobody@127.0.0.1:1/nothing",
    "redis_url": "redis://127.0.0.1:1/0",
}
CALL: dict[str, Any] = {
    "action_type": "crm_get",
    "provider_name": "hubspot",
    "status": "success",
    "execution_time_ms": 1,
}
CHANGE: dict[str, Any] = {"resource_type": "contact", "resource_id": "7"}


class Host:
    """A host application with Opsledger in it."""

    def __init__(self, folder: Path, settings: dict[str, Any], values: dict[str, Any]) -> None:
        self.settings = Settings(data_dir=folder, **{**NOWHERE, **settings})
        self.app = flask.Flask("host")
        self.opsledger = Opsledger(settings=self.settings, **values)

    def start(self) -> FlaskClient:
        """Wire Opsledger in; what was added to the app before comes before it."""
        if EXTENSION not in self.app.extensions:
            self.opsledger.init_app(self.app)
        return self.app.test_client()

    def stop(self) -> None:
        """End the process: what it could not ship stays on its disk."""
        if EXTENSION in self.app.extensions:
            self.opsledger.close(grace_s=0)

    def kept(self) -> list[Record]:
        """The records on disk."""
        self.stop()
        return recover_records(self.settings.spool_dir)

    def one(self) -> Any:
        """The only record on disk."""
        (record,) = self.kept()
        return record


def add_views(host: Host) -> None:
    """One that captures an action, /call/<name>, and one that captures an audit, /change."""

    @host.app.route("/call/<name>", methods=["GET", "POST"])
    def call(name: str) -> tuple[str, int]:
        log_action(tenant_id=TENANT, **CALL)
        return name, 201

    @host.app.route("/change")
    def change() -> str:
        AuditService().log_create(tenant_id=TENANT, data={"a": 1}, **CHANGE)
        return "done"

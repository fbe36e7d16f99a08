"""The commands, `flask --app wsgi …`; what changes something writes an audit log."""

import flask

from .access import action_types, keys, tenants
from .alerts import alerts
from .archive import archive
from .dead_letters import dead_letters
from .demo import demo
from .inspection import doctor, partitions, spool
from .providers import providers
from .redaction import redaction
from .restore import restore_records
from .rollups import rollups
from .storage import storage

tenants.add_command(redaction)


def register_commands(app: flask.Flask) -> None:
    """Add every command to the app."""
    for command in (
        tenants,
        keys,
        action_types,
        providers,
        partitions,
        archive,
        restore_records,
        storage,
        spool,
        dead_letters,
        rollups,
        alerts,
        doctor,
        demo,
    ):
        app.cli.add_command(command)

"""The commands, `flask --app wsgi …`; what changes something writes an audit log."""

import flask

from .access import action_types, keys, tenants
from .alerts import alerts
from .archive import archive
from .dead_letters import dead_letters
from .demo import demo
from .erase import erase
from .forward import forward
from .holds import legal_hold
from .inspection import doctor, partitions, spool
from .providers import providers
from .redaction import redaction
from .restore import restore_records
from .retention import retention
from .rollups import rollups
from .storage import storage

tenants.add_command(redaction)


def register_commands(app: flask.Flask) -> None:
    """Add every command to the app."""
    for command in (
        tenants,
        keys,
        action_types,
        legal_hold,
        retention,
        erase,
        providers,
        partitions,
        archive,
        restore_records,
        storage,
        spool,
        dead_letters,
        rollups,
        alerts,
        forward,
        doctor,
        demo,
    ):
        app.cli.add_command(command)

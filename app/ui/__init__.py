"""The dashboard: server-rendered pages over the HTTP API, which is all that it asks.

No page reaches another host or holds a script of its own: the policy of each answer forbids both.
"""

import flask

from ..config import Settings
from . import (
    alerts,
    analytics,
    exports,
    forwarding,
    keys,
    lists,
    live,
    overview,
    records,
    rules,
    sign_in,
    storage,
    trails,
    viewer,
    views,
)
from .assets import version_assets
from .session import Sessions
from .wording import FILTERS


def register_ui(app: flask.Flask, settings: Settings) -> None:
    """Add the dashboard to the app."""
    app.extensions["opsledger-sessions"] = Sessions(settings.session_key, settings.session_hours)
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    version_assets(app)
    reading = (overview, lists, live, records, trails, analytics, storage, viewer)
    for module in (sign_in, *reading, views, exports, alerts, rules, keys, forwarding):
        app.register_blueprint(module.blueprint)

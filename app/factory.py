"""create_app(): the service's wiring, in reading order; close_app() undoes it."""

from contextlib import ExitStack
from typing import Any
from uuid import UUID

import flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from werkzeug.middleware.proxy_fix import ProxyFix

from .administration import Administration
from .api import register_api
from .api.readings import Readings
from .api.refusals import Refusals
from .api.service import Service
from .api.shared_tail import SharedTails
from .api.stream import TAILS
from .auth import DOOR, Authenticator, Door, current_principal
from .broker import broker_of
from .capture import AuditService
from .capture.hooks import client_ip
from .capture.recorder import EXTENSION as CAPTURE
from .cli import register_commands
from .config import Settings, load_settings
from .custody import Custody
from .domain.quota import Quota
from .extension import Opsledger
from .pipeline.commits import News
from .pipeline.limits import Limiter, counting_in
from .providers import EXTENSION, Providers
from .store import METADATA
from .store.cold import ColdStore
from .store.places import open_archive, open_exports
from .store.replica import REPLICA_CONNECT_TIMEOUT_S, ReadDatabase
from .store.session import ENGINE_OPTIONS, Database
from .telemetry import configure_logging, get_logger
from .ui import register_ui
from .viewing import ANCESTORS, Viewers
from .viewing import EXTENSION as VIEWERS

log = get_logger(__name__)

CLOSING = "opsledger-closing"  # the key in Flask's app.extensions


def create_app(settings: Settings | None = None) -> flask.Flask:
    """The service as a WSGI application; nothing is connected before it is needed.

    Raises:
        InvalidSetting: names the setting and what it takes.
    """
    settings = settings or load_settings()
    configure_logging(settings.log_level)
    app = flask.Flask(__name__, static_folder="static", template_folder="templates")
    app.url_map.merge_slashes = False  # a resource's id may contain any of them
    app.json.sort_keys = False  # type: ignore[attr-defined] # fields come in the schema's order
    app.config["MAX_CONTENT_LENGTH"] = settings.request_bytes_max
    _trust_proxies(app, settings.trusted_proxies)
    closing = app.extensions[CLOSING] = ExitStack()
    database = _connect(app, settings)
    reads = ReadDatabase(database, _connect_replica(settings))
    closing.callback(reads.close)
    providers = app.extensions[EXTENSION] = Providers(database, settings)
    cold = ColdStore(open_archive(settings), timeout_s=settings.query_timeout_s)
    authenticator = Authenticator(
        database, remember_s=settings.key_cache_s, stale_s=settings.key_stale_s
    )
    opsledger = Opsledger(settings=settings, tenant_id=_tenant_id, user_id=_user_id)
    opsledger.init_app(app, database)
    maintenance = _connect_maintenance(settings)
    closing.callback(maintenance.close)

    def address() -> str | None:
        return client_ip(settings.trusted_proxies)

    service = Service(
        settings,
        database,
        reads,
        cold,
        open_exports(settings),
        providers,
        *_administration(settings, maintenance, opsledger),
        Readings(AuditService(opsledger.recorder), address),
    )
    limiter = _open_limiter(settings)
    closing.callback(limiter.stop)
    refusals = Refusals(AuditService(opsledger.recorder))
    app.extensions[DOOR] = Door(
        authenticator,
        address=address,
        refused=refusals.note,
        judge=lambda principal, writes: limiter.judge(principal, writes=writes),
    )
    news = News(broker_of(settings))
    app.extensions[TAILS] = SharedTails(news)
    closing.callback(news.stop)
    app.extensions[VIEWERS] = Viewers(settings.session_key)
    app.extensions[ANCESTORS] = settings.viewer_ancestors
    register_api(app, service)
    register_ui(app, settings)
    register_commands(app)
    return app


def close_app(app: flask.Flask, *, grace_s: float | None = None) -> None:
    """End the threads of an app and close its connections; what waits, waits on disk.

    Args:
        grace_s: for what can still be shipped, in seconds; by the settings if not given.
    """
    opsledger: Opsledger = app.extensions[CAPTURE]
    opsledger.close(grace_s=grace_s)
    closing: ExitStack = app.extensions[CLOSING]
    closing.close()


def _connect(app: flask.Flask, settings: Settings) -> Database:
    """The web role's pool, made by flask-sqlalchemy over the store's metadata."""
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = ENGINE_OPTIONS
    bound = SQLAlchemy(app, metadata=METADATA)
    Migrate(app, bound, directory="migrations", compare_type=True)
    if settings.roles_without_url:
        log.warning(
            "one database role serves for several: what separates them is lost",
            roles=settings.roles_without_url,
        )
    with app.app_context():
        return Database(
            bound.engine,
            statement_timeout_s=settings.query_timeout_s,
            rollup_cache_bytes=settings.rollup_cache_bytes,
        )


def _open_limiter(settings: Settings) -> Limiter:
    quotas = {
        "read": (
            Quota("key-reads", settings.reads_per_minute_key),
            Quota("tenant-reads", settings.reads_per_minute_tenant),
        ),
        "write": (
            Quota("key-writes", settings.writes_per_minute_key),
            Quota("tenant-writes", settings.writes_per_minute_tenant),
        ),
    }
    return Limiter(quotas, counting_in(broker_of(settings), settings.broker_timeout_s))


def _connect_replica(settings: Settings) -> Database | None:
    if not settings.read_database_url:
        return None
    return Database.connect(
        settings.read_database_url,
        statement_timeout_s=settings.query_timeout_s,
        connect_timeout_s=REPLICA_CONNECT_TIMEOUT_S,
        rollup_cache_bytes=settings.rollup_cache_bytes,
    )


def _connect_maintenance(settings: Settings) -> Database:
    """The pool of the admin endpoints; it connects at the first call of one."""
    return Database.connect(
        settings.url_of("maintenance"), statement_timeout_s=settings.query_timeout_s
    )


def _administration(
    settings: Settings, database: Database, opsledger: Opsledger
) -> tuple[Administration, Custody]:
    audits = AuditService(opsledger.recorder)

    def put_on_record(
        tenant_id: UUID, action: str, resource_type: str, resource_id: str, **changes: Any
    ) -> None:
        audits.log_change(
            tenant_id=tenant_id,
            action=action,
            resource_type=resource_type,
            resource_id=resource_id,
            user_id=_user_id(),
            metadata={"outcome": "success"},  # what failed changed nothing, and is its status
            **changes,
        )

    administration = Administration(
        database,
        put_on_record,
        settings.environment,
        may_conceal=bool(settings.redaction_key),
        retention_days=settings.retention_days,
    )
    return administration, Custody(database, put_on_record, who=lambda: _user_id() or "unknown")


def _trust_proxies(app: flask.Flask, count: int) -> None:
    """Take scheme and host from our own proxies; the caller's address is the hooks' business."""
    if count:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=0, x_proto=count, x_host=count)  # type: ignore[method-assign]


def _tenant_id() -> UUID | None:
    principal = current_principal()
    return principal.tenant_id if principal else None


def _user_id() -> str | None:
    principal = current_principal()
    return f"key:{principal.prefix}" if principal else None

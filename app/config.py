"""Settings, read from the environment once and typed.

Hides names, units, defaults and parsing; a Settings object is always complete and valid.
"""

import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any

from .setting_types import (
    RABBITMQ_SCHEMES,
    REDIS_SCHEMES,
    InvalidSetting,
    boolean,
    http_url,
    level,
    networks,
    one_of,
    origins,
    read_broker_url,
    seconds,
    seconds_or_none,
    secret,
    whole,
    with_driver,
)
from .setting_types import setting as _setting
from .watch_settings import WatchSettings

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
RECORD_BYTES_MAX = 256 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(WatchSettings):
    """Every setting of Opsledger; docs/configuration.md is this class as a table."""

    database_url: str = _setting(
        "DATABASE_URL",
        "postgresql+psycopg2://opsledger_web@127.0.0.1:5432/opsledger",
        "URL",
        "The query API's connection, as the role opsledger_web, which row-level security binds.",
    )
    read_database_url: str = _setting(
        "DATABASE_READ_URL",
        "",
        "URL",
        "A replica that answers the queries, as opsledger_web too; while it is away DATABASE_URL"
        " does. Empty: there is none.",
    )
    worker_database_url: str = _setting(
        "WORKER_DATABASE_URL",
        "",
        "URL",
        "The workers' connection (opsledger_worker). Empty: DATABASE_URL serves, less separated.",
    )
    maintenance_database_url: str = _setting(
        "MAINTENANCE_DATABASE_URL",
        "",
        "URL",
        "For the commands and maintenance tasks (opsledger_maintenance). Empty: DATABASE_URL.",
    )
    owner_database_url: str = _setting(
        "OWNER_DATABASE_URL",
        "",
        "URL",
        "Runs the migrations and owns the tables (opsledger_owner). Empty: DATABASE_URL.",
    )
    redis_url: str = _setting(
        "REDIS_URL",
        "redis://127.0.0.1:6379/0",
        "URL",
        "The broker, Valkey or Redis: redis://, rediss:// (TLS), or sentinel://a;sentinel://b.",
        read_broker_url(*REDIS_SCHEMES),
    )
    broker_url: str = _setting(
        "OPSLEDGER_BROKER_URL",
        "",
        "URL",
        "The broker, if it is RabbitMQ: amqp:// or amqps://, several nodes parted by semicolons."
        " Empty: that of REDIS_URL.",
        read_broker_url(*RABBITMQ_SCHEMES, *REDIS_SCHEMES),
    )
    sentinel_master: str = _setting(
        "OPSLEDGER_SENTINEL_MASTER",
        "mymaster",
        "name",
        "What the Sentinels call the master; the name that their sample configuration has.",
    )
    sentinel_password: str = _setting(
        "OPSLEDGER_SENTINEL_PASSWORD",
        "",
        "secret",
        "Of the Sentinels themselves; that of master and replicas stands in the URL. Empty: none.",
    )
    data_dir: Path = _setting(
        "OPSLEDGER_DATA_DIR",
        Path(".data"),
        "folder",
        "Where this host keeps its files: the spool and, under `make run`, everything else.",
        Path,
    )
    spool_bytes_max: int = _setting(
        "OPSLEDGER_SPOOL_BYTES_MAX",
        GIB,
        "bytes",
        "Bound of the spool on this host; past it the newest action records are shed, counted.",
        whole(1),
    )
    spool_reserve_bytes: int = _setting(
        "OPSLEDGER_SPOOL_RESERVE_BYTES",
        64 * MIB,
        "bytes",
        "Kept on top of the bound for audit records alone, which matter most when disks fill.",
        whole(0),
    )
    segment_bytes_max: int = _setting(
        "OPSLEDGER_SEGMENT_BYTES_MAX",
        8 * MIB,
        "bytes",
        "Size at which a process starts a new spool file; small enough to re-ship after a crash.",
        whole(1),
    )
    spool_fsync: str = _setting(
        "OPSLEDGER_SPOOL_FSYNC",
        "interval",
        "off, interval, always",
        "When records reach the platter; a kill never loses one, a power failure may (0007).",
        one_of("off", "interval", "always"),
    )
    spool_sync_interval_s: float = _setting(
        "OPSLEDGER_SPOOL_SYNC_INTERVAL_S",
        1.0,
        "s",
        "With `interval`: what a power failure can cost of records not yet in Postgres.",
        seconds,
    )
    batch_rows_max: int = _setting(
        "OPSLEDGER_BATCH_ROWS_MAX",
        500,
        "records",
        "Records in one shipment; more gains little and makes a redelivery dearer.",
        whole(1),
    )
    flush_interval_ms: int = _setting(
        "OPSLEDGER_FLUSH_INTERVAL_MS",
        50,
        "ms",
        "How long the shipper waits for company before it sends a record.",
        whole(1),
    )
    flush_pause_ms: int = _setting(
        "OPSLEDGER_FLUSH_PAUSE_MS",
        200,
        "ms",
        "Least time between two shipments of a process while records keep coming: each costs the"
        " worker, Postgres and the sender as much as dozens of records. A backlog does not wait.",
        whole(0),
    )
    inflight_max: int = _setting(
        "OPSLEDGER_INFLIGHT_MAX",
        64,
        "shipments",
        "Unconfirmed shipments of one process; bounds what a slow database piles up in the broker.",
        whole(1),
    )
    confirm_timeout_s: float = _setting(
        "OPSLEDGER_CONFIRM_TIMEOUT_S",
        15.0,
        "s",
        "A shipment Postgres has not confirmed by then is sent again; doubles at each try.",
        seconds,
    )
    stream_nice: int = _setting(
        "OPSLEDGER_STREAM_NICE",
        10,
        "niceness, 0 to 19",
        "How far a process that holds streams gives way to others of this host: a reader can wait a"
        " moment longer, a request of the API shall not. 0: as all.",
        whole(0, 19),
    )
    flush_grace_s: float = _setting(
        "OPSLEDGER_FLUSH_GRACE_S",
        3.0,
        "s",
        "How long a stopping process waits for its last shipments; the rest stays on disk.",
        seconds,
    )
    wait_timeout_s: float = _setting(
        "OPSLEDGER_WAIT_TIMEOUT_S",
        5.0,
        "s",
        "How long wait=True waits for Postgres before it raises; most commits take 0.1 s.",
        seconds,
    )
    broker_timeout_s: float = _setting(
        "OPSLEDGER_BROKER_TIMEOUT_S",
        0.25,
        "s",
        "Longest wait of one publish; the shipper retries, requests never wait for it.",
        seconds,
    )
    ship_url: str = _setting(
        "OPSLEDGER_SHIP_URL",
        "",
        "URL",
        "For capture in an app that has neither our broker nor our database: the Opsledger whose"
        " ingest API takes its records, as https://ledger.example.com. Empty: the broker does.",
        http_url,
    )
    ship_key: str = _setting(
        "OPSLEDGER_SHIP_KEY",
        "",
        "secret",
        "The API key for that, with the scope logs:write: of the one tenant whose records these"
        " are, or the operator's for those of any tenant.",
    )
    ship_timeout_s: float = _setting(
        "OPSLEDGER_SHIP_TIMEOUT_S",
        5.0,
        "s",
        "Longest wait for an answer of its; only the shipper waits, never a request.",
        seconds,
    )
    payload_bytes_max: int = _setting(
        "OPSLEDGER_PAYLOAD_BYTES_MAX",
        64 * KIB,
        "bytes",
        "Of one JSON field; a larger one is cut, with a mark, its full size and its SHA-256.",
        whole(1024, MIB),  # three of them have to fit into a frame of the spool, 4 MiB
    )
    record_bytes_max: int = _setting(
        "OPSLEDGER_RECORD_BYTES_MAX",
        RECORD_BYTES_MAX,
        "bytes",
        "Of a whole record, as the spool writes it; past it its largest JSON fields are cut.",
        whole(192 * KIB, 3 * MIB),  # room for texts and marks; a frame of the spool is 4 MiB
    )
    hot_days: int = _setting(
        "OPSLEDGER_HOT_DAYS",
        90,
        "days",
        "How long records stay in Postgres. A week that is older is archived; a record that arrives"
        " when it is older is set aside in late_records. The same on all hosts.",
        whole(1),
    )
    external_id_key: str = _setting(
        "OPSLEDGER_EXTERNAL_ID_KEY",
        "",
        "secret",
        "Makes record ids of external ids: at least 32 characters, the same on all hosts, never"
        " changed. Empty: ingest refuses external ids.",
        secret,
    )
    session_key: str = _setting(
        "OPSLEDGER_SESSION_KEY",
        "",
        "secret",
        "Signs the sessions of the dashboard: at least 32 characters, the same on all hosts. Empty:"
        " nobody can sign in.",
        secret,
    )
    session_hours: int = _setting(
        "OPSLEDGER_SESSION_HOURS",
        12,
        "hours",
        "How long a session of the dashboard lasts: a working day. Its key may end it sooner.",
        whole(1),
    )
    viewer_ancestors: tuple[str, ...] = _setting(
        "OPSLEDGER_VIEWER_ANCESTORS",
        (),
        "origins",
        "Sites that may show in a frame what a viewer link shows: https://a.example,… Empty: none.",
        origins,
    )
    redaction_key: str = _setting(
        "OPSLEDGER_REDACTION_KEY",
        "",
        "secret",
        "Lets tenants have redaction policies and makes their keyed hashes: at least 32"
        " characters, the same on all hosts; what another key hashed no longer matches. Empty: no"
        " policies.",
        secret,
    )
    query_timeout_s: float = _setting(
        "OPSLEDGER_QUERY_TIMEOUT_S",
        10.0,
        "s",
        "Longest statement of the query API; a longer one is ended and answered with 503.",
        seconds,
    )
    rollup_cache_bytes: int = _setting(
        "OPSLEDGER_ROLLUP_CACHE_BYTES",
        128 * MIB,
        "bytes",
        "What a web process remembers of rollups, for all tenants; of one with millions of records"
        " some 10 MB. 0: nothing, and filtered lists and statistics take some times as long.",
        whole(0),
    )
    search_budget_s: float = _setting(
        "OPSLEDGER_SEARCH_BUDGET_S",
        1.0,
        "s",
        "How long a search by content looks before it answers with what it found and a link on.",
        seconds,
    )
    request_bytes_max: int = _setting(
        "OPSLEDGER_REQUEST_BYTES_MAX", MIB, "bytes", "Largest request body; 413 past it.", whole(1)
    )
    heartbeat_s: float = _setting(
        "OPSLEDGER_HEARTBEAT_S",
        10.0,
        "s",
        "How often beat shows that it lives; after six in vain, health calls it late. The same on"
        " all hosts.",
        seconds,
    )
    partitions_ahead_weeks: int = _setting(
        "OPSLEDGER_PARTITIONS_AHEAD_WEEKS",
        4,
        "weeks",
        "Partitions made before they are needed, so that a stopped beat has a month to be seen.",
        whole(1),
    )
    trusted_proxies: int = _setting(
        "OPSLEDGER_TRUSTED_PROXIES",
        0,
        "proxies",
        "How many proxies in front may be believed about X-Forwarded-For, -Proto and -Host.",
        whole(0),
    )
    cors_origins: tuple[str, ...] = _setting(
        "OPSLEDGER_CORS_ORIGINS",
        (),
        "origins",
        "Pages that may use the API with a key of theirs: https://a.example,… Empty: none.",
        origins,
    )
    private_destinations: tuple[str, ...] = _setting(
        "OPSLEDGER_PRIVATE_DESTINATIONS",
        (),
        "networks",
        "Networks, as 10.1.0.0/16, that tenants may make us call (providers, for one) although they"
        " are not public, also by plain HTTP. Empty: none, so that our own hosts are out of reach.",
        networks,
    )
    key_cache_s: float = _setting(
        "OPSLEDGER_KEY_CACHE_S",
        5.0,
        "s",
        "How long a process remembers an API key: the longest a revoked key still works.",
        seconds,
    )
    key_stale_s: float = _setting(
        "OPSLEDGER_KEY_STALE_S",
        300.0,
        "s",
        "While the database does not answer, a known key is served so much longer; 0: not at all.",
        seconds_or_none,
    )
    reads_per_minute_key: int = _setting(
        "OPSLEDGER_READS_PER_MINUTE_KEY",
        60_000,
        "requests",
        "Queries of one API key; generous, so that only a client gone wild meets it. 0: no limit.",
        whole(0),
    )
    writes_per_minute_key: int = _setting(
        "OPSLEDGER_WRITES_PER_MINUTE_KEY",
        60_000,
        "requests",
        "Requests of one API key that change something; one of ingest may carry 1,000 records."
        " 0: no limit.",
        whole(0),
    )
    reads_per_minute_tenant: int = _setting(
        "OPSLEDGER_READS_PER_MINUTE_TENANT",
        300_000,
        "requests",
        "Queries of all keys of one tenant, so that keys are no way around. 0: no limit.",
        whole(0),
    )
    writes_per_minute_tenant: int = _setting(
        "OPSLEDGER_WRITES_PER_MINUTE_TENANT",
        300_000,
        "requests",
        "Requests of all keys of one tenant that change something. 0: no limit.",
        whole(0),
    )
    environment: str = _setting(
        "OPSLEDGER_ENVIRONMENT",
        "live",
        "name",
        "Stands in every new API key (ops_live_…), so that a stray key tells where it opens.",
    )
    log_level: str = _setting(
        "OPSLEDGER_LOG_LEVEL",
        "INFO",
        "level",
        "DEBUG, INFO, WARNING or ERROR; JSON on stderr.",
        level,
    )
    demo: bool = _setting(
        "OPSLEDGER_DEMO",
        False,
        "0 or 1",
        "Allows `flask demo`, whose key is public; `make run` alone sets it.",
        boolean,
    )

    @property
    def archive_dir(self) -> Path:
        """The folder of the archive, if it is in one."""
        return Path(self.archive_url) if self.archive_url else self.data_dir / "archive"

    @property
    def archive_work_dir(self) -> Path:
        """The folder for what is on its way to an object store, and the cache of what was read."""
        return self.data_dir / "archive-cache"

    @property
    def spool_dir(self) -> Path:
        """The folder of this host's spool."""
        return self.data_dir / "spool"

    @property
    def policies_path(self) -> Path:
        """The file of what this host knows of the tenants' redaction policies."""
        return self.data_dir / "policies.json"

    def url_of(self, role: str) -> str:
        """The database URL of a role: web, worker, maintenance or owner."""
        own = "" if role == "web" else getattr(self, f"{role}_database_url")
        return own or self.database_url

    @property
    def roles_without_url(self) -> list[str]:
        """The roles that have no URL of their own, so that separation between them is lost."""
        return [
            r for r in ("worker", "maintenance", "owner") if not getattr(self, f"{r}_database_url")
        ]


def setting_fields() -> list[Field[Any]]:
    """The settings in the order of their declaration, each with name, unit and reason."""
    found = fields(Settings)
    watching = {item.name for item in fields(WatchSettings)}
    return sorted(found, key=lambda item: item.name in watching)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises:
        InvalidSetting: names the variable and what it takes.
    """
    source = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for item in setting_fields():
        text = source.get(item.metadata["name"])
        if text is None or (text == "" and item.default is not MISSING):
            continue
        try:
            values[item.name] = item.metadata["parse"](text)
        except ValueError as error:
            raise InvalidSetting(item.metadata["name"], text, str(error)) from error
    for name, value in values.items():
        if name.endswith("database_url"):
            values[name] = with_driver(value)
    return Settings(**values)

"""Structured logs and the one catalogue of metrics.

Nothing else configures logging or creates a metric, so that names stay in one place.
"""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily

from .domain.secret_values import masked

LOGGER = "opsledger"
SERVER_LOGGER = "gunicorn.error"  # quotes headers and request lines that it does not understand
NAMES_MAX = 100  # values of a label that callers make up, of one process; the rest is OTHER
OTHER = "other"

FAST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
RECORDS = (1, 2, 5, 10, 25, 50, 100, 250, 500)


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the catalogue.

    Args:
        of_tenants: whether it shows names that tenants chose; then it takes the token to see it.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    says: str
    of_tenants: bool = False

    def family(self, samples: Iterable[tuple[tuple[str, ...], float | None]]) -> GaugeMetricFamily:
        """A figure as it is looked up when somebody asks; what is None is not known and left out.

        Args:
            samples: the values of its labels, and the figure.
        """
        found = GaugeMetricFamily(self.name, self.says, labels=self.labels)
        for labels, value in samples:
            if value is not None:
                found.add_metric(labels, value)
        return found


METRICS: dict[str, Metric] = {}


def _listed(metric: Metric) -> Metric:
    METRICS[metric.name] = metric
    return metric


def _counter(name: str, says: str, *labels: str, of_tenants: bool = False) -> Counter:
    _listed(Metric(name, "counter", labels, says, of_tenants))
    return Counter(name.removesuffix("_total"), says, labels)


def _histogram(name: str, says: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
    _listed(Metric(name, "histogram", labels, says))
    return Histogram(name, says, labels, buckets=buckets)


def _gauge(name: str, says: str, *labels: str) -> Metric:
    """A figure that is looked up at each scrape, so that it is never older than that."""
    return _listed(Metric(name, "gauge", labels, says))


# The five key metrics of what is logged.

ACTIONS = _counter(
    "opsledger_actions_total",
    "Action logs stored, by status. The error rate is the share of failure and timeout; throughput"
    " is the rate of all.",
    "status",
)
PROVIDER_ACTIONS = _counter(
    "opsledger_provider_actions_total",
    "Action logs stored, by provider and status: the health of each provider.",
    *("provider", "status"),
    of_tenants=True,
)
PROVIDER_SECONDS = _counter(
    "opsledger_provider_seconds_total",
    "Execution time of the action logs stored, in seconds, by provider; divided by"
    " opsledger_provider_actions_total it is the average latency.",
    "provider",
    of_tenants=True,
)
AUDITS = _counter("opsledger_audits_total", "Audit logs stored.")
AUDIT_CHANGES = _counter(
    "opsledger_audit_changes_total",
    "Audit logs stored, by type of resource.",
    "resource_type",
    of_tenants=True,
)
TENANT_RECORDS = _counter(
    "opsledger_tenant_records_total",
    "Records stored, by tenant (id) and outcome: ok, failed, audit. Off unless"
    " OPSLEDGER_METRICS_TENANTS says how many tenants to show.",
    *("tenant", "outcome"),
    of_tenants=True,
)

# Capture and the spool.

CAPTURED = _counter("opsledger_captured_total", "Records appended to the spool, by kind.", "kind")
LOST = _counter(
    "opsledger_lost_total",
    "Records that could not be kept, by kind and reason: shed (spool_full), refused by capture"
    " (invalid) or by the Opsledger they were shipped to (refused), not written. Alert on any.",
    *("kind", "reason"),
)
INGESTED = _counter(
    "opsledger_ingested_total",
    "Records sent to the ingest API, by kind and outcome: accepted, duplicate, rejected.",
    *("kind", "outcome"),
)
SPOOL_BYTES = _gauge("opsledger_spool_bytes", "What waits on this host's disk, in bytes.")
SPOOL_LIMIT_BYTES = _gauge(
    "opsledger_spool_limit_bytes", "The spool's bound, past which action records are shed."
)
SPOOL_FILES = _gauge("opsledger_spool_files", "Files of the spool of this host.")
SPOOL_AGE_SECONDS = _gauge(
    "opsledger_spool_age_seconds",
    "Time since the oldest file of the spool that holds records was last written.",
)
SPOOL_ASIDE_BYTES = _gauge(
    "opsledger_spool_aside_bytes", "Damaged bytes that were set aside on this host."
)
QUARANTINED = _counter(
    "opsledger_quarantined_total", "Damaged places in spool files, whose bytes were set aside."
)
DISK_FREE_BYTES = _gauge("opsledger_disk_free_bytes", "Free space on the disk of the spool.")

# Shipping.

SHIPMENTS = _counter(
    "opsledger_shipments_total",
    "Shipments by outcome: published, failed, confirmed, resent.",
    "outcome",
)
SHIPMENT_RECORDS = _histogram(
    "opsledger_shipment_records", "Records of a shipment when it is first sent.", buckets=RECORDS
)
PUBLISH_SECONDS = _histogram(
    "opsledger_publish_seconds", "Time the broker took to take a shipment.", buckets=FAST_S
)
CONFIRM_SECONDS = _histogram(
    "opsledger_confirm_seconds",
    "Time from the first sending of a shipment to its receipt from Postgres.",
    buckets=SLOW_S,
)
BROKER_UP = _gauge("opsledger_broker_up", "Whether the broker answers: 1 or 0.")
BROKER_WAITING = _gauge(
    "opsledger_broker_waiting", "Messages that wait in the broker, by queue.", "queue"
)

# Persisting and upkeep.

PERSISTED = _counter(
    "opsledger_persisted_total",
    "Records a worker handled, by outcome: inserted, duplicates, dead, late.",
    "outcome",
)
PERSIST_SECONDS = _histogram(
    "opsledger_persist_seconds", "Time a worker took to commit one shipment.", buckets=FAST_S
)
BATCH_RECORDS = _histogram(
    "opsledger_batch_records", "Records of one tenant and kind in one commit.", buckets=RECORDS
)
DELAY_SECONDS = _histogram(
    "opsledger_delay_seconds",
    "From the making of the oldest record of a batch to when it can be queried.",
    buckets=SLOW_S,
)
DATABASE_UP = _gauge("opsledger_database_up", "Whether Postgres answers: 1 or 0.")
DEAD_LETTERS = _gauge(
    "opsledger_dead_letters",
    "Dead letters that wait to be retried or dropped, counted up to 10,000. Alert on any.",
)
LATE_RECORDS = _gauge(
    "opsledger_late_records", "Records that came after their time had left the hot window."
)
FOLDED = _counter("opsledger_folded_total", "Batches whose summaries were added to the rollups.")
FOLD_LAG_SECONDS = _gauge(
    "opsledger_fold_lag_seconds", "Age of the oldest batch that is not folded yet."
)
PARTITIONS_AHEAD_SECONDS = _gauge(
    "opsledger_partitions_ahead_seconds",
    "How far ahead there are partitions of both logs; negative if there is none for now.",
)
TASK_RUNS = _counter(
    "opsledger_task_runs_total",
    "Messages of periodic tasks, by task and outcome: done, skipped (it ran already in this period,"
    " or runs elsewhere), failed.",
    *("task", "outcome"),
)
TASK_AGE_SECONDS = _gauge(
    "opsledger_task_age_seconds", "Time since a periodic task was last done, by task.", "task"
)
BEAT_AGE_SECONDS = _gauge(
    "opsledger_beat_age_seconds", "Time since beat's last heartbeat. Alert past a minute."
)

# The archive.

ARCHIVED = _counter(
    "opsledger_archived_total",
    "Records whose partition was dropped, since the archive has them.",
)
RESTORED = _counter(
    "opsledger_restored_total", "Archived records that were brought back to Postgres for a time."
)
ARCHIVE_RUNS = _counter(
    "opsledger_archive_runs_total",
    "Runs of the archive, by outcome: done, unfinished (the next goes on), failed (nothing was"
    " dropped for it).",
    "outcome",
)
ARCHIVE_FAILING_SECONDS = _gauge(
    "opsledger_archive_failing_seconds",
    "For how long runs of the archive have failed, by reason: away, slow, refused, expired, full,"
    " damaged, failed. Not there while they do not. Alert past some hours.",
    "reason",
)
PURGED = _counter(
    "opsledger_purged_total",
    "Records purged at the end of their tenant's retention, by where they were: hot, cold.",
    "place",
)
ERASED_RECORDS = _counter(
    "opsledger_erased_total",
    "Records of which a person was erased, by where they were.",
    "place",
)
VACUUMED = _counter(
    "opsledger_vacuumed_total",
    "Rows besides records that were removed since they were past their time, by what they were.",
    "thing",
)
PURGE_RUNS = _counter(
    "opsledger_purge_runs_total",
    "Runs of the purge, by outcome: done, unfinished (the next goes on), failed. Alert on failed.",
    "outcome",
)
COLD_READS = _counter(
    "opsledger_cold_reads_total",
    "Queries of the archive's files, by outcome: done, failed.",
    "outcome",
)
EXPORTS = _counter(
    "opsledger_exports_total", "Exports that were made, by outcome: ready, failed.", "outcome"
)

# Alerts.

ALERT_EVENTS = _counter(
    "opsledger_alert_events_total",
    "Steps in the lives of alerts: pending, fired, reminded, resolved, withdrawn.",
    "event",
)
ALERT_EVALUATION_SECONDS = _histogram(
    "opsledger_alert_evaluation_seconds",
    "Time to evaluate the rules of all tenants.",
    buckets=FAST_S,
)
ALERT_DELIVERIES = _counter(
    "opsledger_alert_deliveries_total",
    "Notifications by outcome: sent, failed (tried again later), dead (given up).",
    "outcome",
)

# Forwarding.

FORWARDED = _counter(
    "opsledger_forwarded_total",
    "Records that were to be forwarded, by sink and outcome: sent, again (not taken, tried again"
    " later), dead (refused for what they are).",
    *("sink", "outcome"),
)
FORWARD_FAILURES = _counter(
    "opsledger_forward_failures_total",
    "Deliveries that failed as a whole, by sink and reason: away, denied (a person has to change"
    " something), internal.",
    *("sink", "reason"),
)
FORWARD_SECONDS = _histogram(
    "opsledger_forward_seconds", "Time of one delivery to a destination.", "sink", buckets=SLOW_S
)
FORWARD_WAITING = _gauge(
    "opsledger_forward_waiting_records",
    "Committed records that a destination has not been sent yet, by destination (id) and sink.",
    *("destination", "sink"),
)
FORWARD_LAG_SECONDS = _gauge(
    "opsledger_forward_lag_seconds",
    "How long the oldest record has waited for an active destination. Alert past 5 minutes.",
    *("destination", "sink"),
)
FORWARD_DEAD_LETTERS = _gauge(
    "opsledger_forward_dead_letters",
    "Records that a destination refused and that wait to be retried or dropped. Alert on any.",
    *("destination", "sink"),
)
FORWARD_FAILING = _gauge(
    "opsledger_forward_failing",
    "Failed deliveries in a row, by destination; 0 while it takes what it is sent.",
    *("destination", "sink"),
)

# Serving.

REQUEST_SECONDS = _histogram(
    "opsledger_request_seconds",
    "Time to answer a request, by method, endpoint and status.",
    *("method", "endpoint", "status"),
    buckets=FAST_S,
)
KEY_LOOKUPS = _counter(
    "opsledger_key_lookups_total",
    "API keys looked up, by where they were found: remembered, database, stale (the database is"
    " away).",
    "outcome",
)
PROVIDER_ATTEMPTS = _counter(
    "opsledger_provider_attempts_total",
    "Calls to providers, by provider and outcome: success, a code of the errors, or refused (the"
    " provider is left alone for now).",
    *("provider", "outcome"),
)
NEWS = _counter(
    "opsledger_news_total",
    "Commits that streams were told of, by outcome: told, failed.",
    "outcome",
)
SIGN_INS = _counter(
    "opsledger_sign_ins_total",
    "Attempts to sign in to the dashboard, by outcome: done, refused, limited.",
    "outcome",
)
LIMITED = _counter("opsledger_limited_total", "Requests refused with 429, by quota.", "quota")
REFUSED = _counter(
    "opsledger_refused_total",
    "Requests of keys refused, by reason: unknown, expired, revoked, network, inactive, scope,"
    " quota.",
    "reason",
)
READ_FALLBACKS = _counter(
    "opsledger_read_fallbacks_total",
    "Queries that the primary answered, as the replica of DATABASE_READ_URL was away.",
)


class Names:
    """The values a label has taken in this process, at most so many: callers make them up."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        self._names_max = names_max
        self._known: set[str] = set()
        self._lock = Lock()

    def shown(self, name: str) -> str:
        """The name itself, or OTHER once there are too many."""
        if name in self._known:
            return name
        with self._lock:
            if len(self._known) >= self._names_max:
                return OTHER
            self._known.add(name)
        return name


def configure_logging(level: str) -> None:
    """Print the service's log to stderr, from `level` up; libraries speak from WARNING up.

    A host application does not call this: there, our lines go where its own logging sends them.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(_mask_line)
    logging.getLogger(SERVER_LOGGER).addFilter(_mask_line)  # it has handlers of its own
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(LOGGER).setLevel(level.upper())


def _mask_line(record: logging.LogRecord) -> bool:
    """Take secrets out of a library's line and its traceback; ours come without."""
    if not record.name.startswith(f"{LOGGER}."):
        record.msg, record.args = masked(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
    return True


def _mask_secrets(
    _: logging.Logger, __: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Take secrets out of a line's texts, those of exceptions included."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = masked(value)
        elif isinstance(value, BaseException):
            event[name] = masked(repr(value))
    return event


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module, named after it; each line is one JSON object."""
    module = name.partition(".")[2] or name
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"{LOGGER}.{module}"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask_secrets,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return logger

"""Structured logs and the one catalogue of metrics.

Nothing else configures logging or creates a metric, so that names stay in one place.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

from .domain.secret_values import masked

LOGGER = "opsledger"
SERVER_LOGGER = "gunicorn.error"  # quotes headers and request lines that it does not understand

METRICS: dict[str, str] = {
    "opsledger_captured_total": "Records appended to the spool, by kind.",
    "opsledger_lost_total": "Records that could not be kept, by kind and reason. Alert on any.",
    "opsledger_shipments_total": "Shipments by outcome: published, failed, confirmed, resent.",
    "opsledger_ingested_total": "Records sent to the ingest API, by kind and outcome: accepted,"
    " duplicate, rejected.",
    "opsledger_persisted_total": "Records a worker handled, by outcome: inserted, duplicates, dead,"
    " late.",
    "opsledger_persist_seconds": "Time a worker took to commit one shipment.",
    "opsledger_folded_total": "Batches whose summaries were added to the rollups.",
    "opsledger_cold_reads_total": "Queries of the archive's files, by outcome: done, failed.",
    "opsledger_archived_total": "Records whose partition was dropped, since the archive has them.",
    "opsledger_archive_runs_total": "Runs of the archive, by outcome: done, unfinished (the next"
    " goes on), failed (nothing was dropped for it). Alert on failed.",
    "opsledger_read_fallbacks_total": "Queries that the primary answered, as the replica of"
    " DATABASE_READ_URL was away.",
    "opsledger_dead_letters": "Dead letters that wait to be retried or dropped, as of the last"
    " minute. Alert on any.",
    "opsledger_task_runs_total": "Messages of periodic tasks, by task and outcome: done, skipped"
    " (it ran already in this period, or runs elsewhere), failed.",
    "opsledger_beat_age_seconds": "Time since beat's last heartbeat, at the last look of"
    " /health/ready. Alert past a minute.",
    "opsledger_sign_ins_total": "Attempts to sign in to the dashboard, by outcome: done, refused,"
    " limited.",
    "opsledger_provider_attempts_total": "Calls to providers, by provider and outcome: success, a"
    " code of the errors, or refused (the provider is left alone for now).",
    "opsledger_limited_total": "Requests refused with 429, by quota.",
    "opsledger_refused_total": "API keys refused, by reason: unknown, expired, revoked, network.",
    "opsledger_quarantined_total": "Damaged places in spool files, whose bytes were set aside.",
}


def _counter(name: str, *labels: str) -> Counter:
    return Counter(name.removesuffix("_total"), METRICS[name], labels)


CAPTURED = _counter("opsledger_captured_total", "kind")
LOST = _counter("opsledger_lost_total", "kind", "reason")
INGESTED = _counter("opsledger_ingested_total", "kind", "outcome")
REFUSED = _counter("opsledger_refused_total", "reason")
LIMITED = _counter("opsledger_limited_total", "quota")
SHIPMENTS = _counter("opsledger_shipments_total", "outcome")
PERSISTED = _counter("opsledger_persisted_total", "outcome")
TASK_RUNS = _counter("opsledger_task_runs_total", "task", "outcome")
DEAD_LETTERS = Gauge("opsledger_dead_letters", METRICS["opsledger_dead_letters"])
BEAT_AGE_SECONDS = Gauge("opsledger_beat_age_seconds", METRICS["opsledger_beat_age_seconds"])
SIGN_INS = _counter("opsledger_sign_ins_total", "outcome")
PROVIDER_ATTEMPTS = _counter("opsledger_provider_attempts_total", "provider", "outcome")
QUARANTINED = _counter("opsledger_quarantined_total")
READ_FALLBACKS = _counter("opsledger_read_fallbacks_total")
COLD_READS = _counter("opsledger_cold_reads_total", "outcome")
ARCHIVED = _counter("opsledger_archived_total")
ARCHIVE_RUNS = _counter("opsledger_archive_runs_total", "outcome")
FOLDED = _counter("opsledger_folded_total")
PERSIST_SECONDS = Histogram("opsledger_persist_seconds", METRICS["opsledger_persist_seconds"])


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

"""What /metrics shows: the counts of this host's processes, and figures looked up when asked.

Names that tenants chose are shown only to whoever may see them.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, start_http_server
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector

from ..broker import broker_of
from ..config import Settings
from ..errors import QueryTimeout, StoreUnavailable
from ..sharing import shares_metrics
from ..spool import spool_status
from ..store.forwarding import Standing, read_standings
from ..store.pipeline_state import PipelineState, read_state
from ..store.session import Database
from ..telemetry import (
    ARCHIVE_FAILING_SECONDS,
    BEAT_AGE_SECONDS,
    BROKER_UP,
    BROKER_WAITING,
    DATABASE_UP,
    DEAD_LETTERS,
    DISK_FREE_BYTES,
    FOLD_LAG_SECONDS,
    FORWARD_DEAD_LETTERS,
    FORWARD_FAILING,
    FORWARD_LAG_SECONDS,
    FORWARD_WAITING,
    LATE_RECORDS,
    METRICS,
    PARTITIONS_AHEAD_SECONDS,
    SPOOL_AGE_SECONDS,
    SPOOL_ASIDE_BYTES,
    SPOOL_BYTES,
    SPOOL_FILES,
    SPOOL_LIMIT_BYTES,
    TASK_AGE_SECONDS,
    get_logger,
)
from ..worker import HEARTBEAT_TASK, MAINTENANCE_QUEUE, PERSIST_QUEUE

DESTINATIONS_SHOWN = 500  # each is four series
STATE_SECONDS = 5.0  # how old what a scrape says of the database may be, whoever scrapes how often

log = get_logger(__name__)


def host_figures(settings: Settings) -> Iterator[Family]:
    """What lies on this host's disk."""
    status = spool_status(settings.spool_dir)
    yield SPOOL_BYTES.family([((), status.bytes)])
    yield SPOOL_FILES.family([((), status.segments)])
    yield SPOOL_AGE_SECONDS.family([((), status.oldest_age_s)])
    yield SPOOL_ASIDE_BYTES.family([((), status.quarantined_bytes)])
    yield SPOOL_LIMIT_BYTES.family([((), settings.spool_bytes_max)])
    yield DISK_FREE_BYTES.family([((), _free_bytes(settings))])


def broker_figures(settings: Settings) -> Iterator[Family]:
    """Whether the broker answers, and what waits there."""
    waiting = broker_of(settings).waiting((PERSIST_QUEUE, MAINTENANCE_QUEUE))
    yield BROKER_UP.family([((), waiting is not None)])
    yield BROKER_WAITING.family([((queue,), count) for queue, count in (waiting or {}).items()])


def database_figures(state: PipelineState | None) -> Iterator[Family]:
    """How the pipeline stands by the database; None if that is away."""
    yield DATABASE_UP.family([((), state is not None)])
    if state is None:
        return
    ahead = state.partitions_until
    ahead_s = None if ahead is None else (ahead - datetime.now(UTC)).total_seconds()
    yield DEAD_LETTERS.family([((), state.dead_letters)])
    yield LATE_RECORDS.family([((), state.late_records)])
    yield FOLD_LAG_SECONDS.family([((), state.fold_lag_s)])
    yield PARTITIONS_AHEAD_SECONDS.family([((), ahead_s)])
    archive = state.archive
    reason = archive.reason if archive else None
    failing = [((reason.value,), archive.failing_s)] if archive and reason else []
    yield ARCHIVE_FAILING_SECONDS.family(failing)
    yield BEAT_AGE_SECONDS.family([((), state.task_age_s.get(HEARTBEAT_TASK))])
    ages = sorted(state.task_age_s.items())
    yield TASK_AGE_SECONDS.family([((task,), age) for task, age in ages])


def forward_figures(standings: Iterable[Standing], now: datetime) -> Iterator[Family]:
    """How destinations stand; of very many the first by id."""
    shown = sorted(standings, key=lambda one: one.id)[:DESTINATIONS_SHOWN]
    named = [((str(one.id), one.sink), one) for one in shown]

    def lag_s(one: Standing) -> float | None:
        if one.state != "active":
            return None
        since = one.waiting_since
        return max(0.0, (now - since).total_seconds()) if since else 0.0

    yield FORWARD_WAITING.family([(labels, one.waiting_records) for labels, one in named])
    yield FORWARD_LAG_SECONDS.family([(labels, lag_s(one)) for labels, one in named])
    yield FORWARD_DEAD_LETTERS.family([(labels, one.dead_letters) for labels, one in named])
    yield FORWARD_FAILING.family([(labels, one.failures) for labels, one in named])


class Figures:
    """What one process shows of its host and of the pipeline.

    Args:
        database: of the web role.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._lock = threading.Lock()
        self._state: PipelineState | None = None
        self._standings: list[Standing] = []
        self._read_at = float("-inf")

    def render(self, *, of_tenants: bool) -> bytes:
        """The exposition, in Prometheus's text format.

        Args:
            of_tenants: whether to show names that tenants chose, too.
        """
        settings = self._settings
        looked_up = [
            lambda: host_figures(settings),
            lambda: broker_figures(settings),
            lambda: database_figures(self.state()),
            lambda: forward_figures(self._standings, datetime.now(UTC)),
        ]
        return _rendered(looked_up, of_tenants=of_tenants)

    def state(self) -> PipelineState | None:
        """How the pipeline stands, at most some seconds ago; None if the database is away."""
        with self._lock:
            if time.monotonic() - self._read_at > STATE_SECONDS:
                self._state, self._standings = _read(self._database)
                self._read_at = time.monotonic()
            return self._state


def serve_figures(settings: Settings) -> None:
    """Show the figures of this host at a port of its own, in a thread; names of tenants are not
    among them.
    """
    registry = CollectorRegistry()
    registry.register(_Shown([lambda: host_figures(settings)], of_tenants=False))
    start_http_server(settings.worker_metrics_port, registry=registry)


class _Shown:
    """A collector of everything that may be shown."""

    def __init__(
        self, looked_up: Iterable[Callable[[], Iterable[Family]]], *, of_tenants: bool
    ) -> None:
        self._looked_up = list(looked_up)
        self._of_tenants = of_tenants

    def collect(self) -> Iterator[Family]:
        """Every family of the catalogue, and those of the process itself."""
        for family in _counted():
            metric = METRICS.get(family.name) or METRICS.get(f"{family.name}_total")
            if self._of_tenants or metric is None or not metric.of_tenants:
                # When a count began is not known of those that processes share.
                family.samples = [one for one in family.samples if one.name[-8:] != "_created"]
                yield family
        for look_up in self._looked_up:
            try:
                yield from list(look_up())
            except Exception:  # what cannot be looked up must not hide the rest
                log.exception("figures not looked up")


def _counted() -> Iterable[Family]:
    if not shares_metrics():
        return REGISTRY.collect()
    found: Iterable[Family] = MultiProcessCollector(CollectorRegistry()).collect()  # type: ignore[no-untyped-call]
    return found


def _rendered(looked_up: Iterable[Callable[[], Iterable[Family]]], *, of_tenants: bool) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Shown(looked_up, of_tenants=of_tenants))
    return generate_latest(registry)


def _read(database: Database) -> tuple[PipelineState | None, list[Standing]]:
    try:
        with database.unrestricted_unsafe() as session:
            return read_state(session), read_standings(session)
    except (StoreUnavailable, QueryTimeout):
        return None, []


def _free_bytes(settings: Settings) -> int | None:
    try:
        return shutil.disk_usage(settings.spool_dir).free
    except OSError:
        return None

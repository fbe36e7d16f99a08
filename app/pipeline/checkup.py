"""The checkup: every part that a record passes is looked at, in order, and what is wrong comes with
its cure. Nothing is changed.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis

from ..broker import broker_of
from ..config import Settings
from ..domain.identity import format_time
from ..errors import QueryTimeout, StorageReason, StoreUnavailable
from ..spool import spool_status
from ..store.archive_state import ArchiveState
from ..store.checkup import (
    clock_skew_s,
    invalid_indexes,
    role_facts,
    slow_queries_s,
    unindexed_reads,
)
from ..store.erasures import count_stuck
from ..store.inspection import migration_revision
from ..store.pipeline_state import PipelineState, read_state
from ..store.session import Database
from ..worker import ALERTS_TASK, FOLD_TASK, HEARTBEAT_TASK, PERIODS_S, PURGE_TASK
from .capacity import StorageReport, measure
from .periodic import HEARTBEATS_MISSED_MAX

ROLES = ("web", "worker", "maintenance")
SKEW_S_MAX = 5.0  # ids and windows of alerts go by the hosts' clocks
SPOOL_AGE_S_MAX = 60.0
SPOOL_SHARE_MAX = 0.8
DISK_BYTES_MIN = 1_000_000_000
FOLD_LAG_S_MAX = 120.0
EVALUATION_AGE_S_MAX = 60.0
PURGES_MISSED_MAX = 4
ERASURE_WAIT_MAX = timedelta(hours=1)
WEEK_S = 7 * 86_400
BROKER_TIMEOUT_S = 1.0
NO_EVICTION = "noeviction"

ARCHIVE_CURES = {
    StorageReason.AWAY: "start the object store, or correct OPSLEDGER_ARCHIVE_URL and"
    " OPSLEDGER_ARCHIVE_ENDPOINT_URL; the next run, within the hour, goes on",
    StorageReason.SLOW: "find out what slows the store, or the way there; it is waited for"
    " OPSLEDGER_ARCHIVE_TIMEOUT_S",
    StorageReason.REFUSED: "give the credentials (of the folder: this user) the rights that"
    " docs/archive.md names",
    StorageReason.EXPIRED: "renew the credentials (AWS_…); workers that have them in their"
    " environment need a restart",
    StorageReason.FULL: "free space, or raise the quota, where the archive is and in"
    " OPSLEDGER_DATA_DIR",
    StorageReason.DAMAGED: "what was written came back different: look at the disk, the store and"
    " what lies between",
    StorageReason.FAILED: "the worker's log has the error and where it was",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part; without a cure it is well."""

    part: str
    says: str
    cure: str = ""

    @property
    def well(self) -> bool:
        """Whether there is nothing to do."""
        return not self.cure


def check_up(settings: Settings, head: str | None) -> Iterator[Finding]:
    """Look at every part.

    Args:
        head: the newest migration of this code; None if it is not known here.
    """
    for role in ROLES:
        yield _database(settings, role)
    yield from _schema(settings, head)
    yield from _broker(settings)
    yield from _spool(settings)


def _database(settings: Settings, role: str) -> Finding:
    part, variable = f"database as {role}", _variable(role)
    database = Database.connect(settings.url_of(role))
    try:
        with database.unrestricted_unsafe() as session:
            facts = role_facts(session, role)
    except (StoreUnavailable, QueryTimeout):
        return Finding(part, "AWAY", f"start Postgres, or correct {variable}")
    finally:
        database.close()
    if facts.lacks:
        cure = f"run flask db upgrade as the owner, and see that {variable} names opsledger_{role}"
        return Finding(part, f"{facts.name} LACKS {', '.join(facts.lacks)}", cure)
    if facts.unbound and role == "web":
        says = f"{facts.name} is NOT BOUND by row-level security"
        return Finding(part, says, f"let {variable} name the role opsledger_web")
    return Finding(part, "ok")


def _variable(role: str) -> str:
    return "DATABASE_URL" if role == "web" else f"{role.upper()}_DATABASE_URL"


def _schema(settings: Settings, head: str | None) -> Iterator[Finding]:
    database = Database.connect(settings.url_of("maintenance"))
    try:
        with database.unrestricted_unsafe() as session:
            revision = migration_revision(session)
        yield _revision(revision, head)
        if head in {None, revision}:
            with database.unrestricted_unsafe() as session:
                yield from _state(settings, read_state(session))
                yield _erasures(count_stuck(session, datetime.now(UTC) - ERASURE_WAIT_MAX))
            with database.unrestricted_unsafe(snapshot=True) as session:
                yield _storage(measure(session, settings))
        with database.unrestricted_unsafe() as session:
            yield _clock(clock_skew_s(session, time.time()))
            yield _indexes(invalid_indexes(session), unindexed_reads(session))
            yield _queries(slow_queries_s(session, 2 * settings.query_timeout_s))
    except (StoreUnavailable, QueryTimeout):
        return
    finally:
        database.close()


def _revision(revision: str, head: str | None) -> Finding:
    if head is None or revision == head:
        return Finding("schema", revision)
    return Finding("schema", f"{revision}, this code is at {head}", "run flask db upgrade")


def _state(settings: Settings, state: PipelineState) -> Iterator[Finding]:
    ahead = state.partitions_until
    ahead_s = (ahead - datetime.now(UTC)).total_seconds() if ahead else 0.0
    missing = ahead_s < WEEK_S
    says = f"reach {ahead_s / 86_400:.0f} days ahead" if ahead else "there are NONE"
    yield Finding(
        "partitions",
        f"END SOON: {says}" if missing else says,
        "run flask partitions ensure, and find out why beat does not" if missing else "",
    )
    yield _dated(
        *("beat", state.task_age_s.get(HEARTBEAT_TASK)),
        HEARTBEATS_MISSED_MAX * settings.heartbeat_s,
        "start beat and a worker (Procfile); their logs say why they ended",
    )
    yield _dated(
        *("alert rules", state.task_age_s.get(ALERTS_TASK)),
        EVALUATION_AGE_S_MAX,
        "see that beat and a worker on opsledger.maintenance run; the worker's log has the error",
    )
    yield _dated(
        *("retention", state.task_age_s.get(PURGE_TASK)),
        PURGES_MISSED_MAX * PERIODS_S[PURGE_TASK],
        "run flask retention purge, which says what it waits for; the worker's log has the error",
    )
    lag = state.fold_lag_s
    yield Finding(
        "statistics",
        f"folded up to {lag:.0f} s ago" + (", LATE" if lag > FOLD_LAG_S_MAX else ""),
        f"run flask rollups fold, and see why {FOLD_TASK} is not done"
        if lag > FOLD_LAG_S_MAX
        else "",
    )
    yield _archive(state.archive)
    yield Finding(
        "dead letters",
        f"{state.dead_letters} WAIT" if state.dead_letters else "none",
        "flask dead-letters list says why; then retry or drop" if state.dead_letters else "",
    )


def _storage(report: StorageReport) -> Finding:
    if report.warnings:
        cure = "flask storage has the figures; add space, or shorten OPSLEDGER_HOT_DAYS"
        return Finding("storage", f"FILLS UP: {'; '.join(report.warnings)}", cure)
    days = [disk.days_until_full for disk in report.disks if disk.days_until_full is not None]
    return Finding("storage", f"ok for {min(days)} days" if days else "ok")


def _archive(state: ArchiveState | None) -> Finding:
    if state is None:
        return Finding("archive", "never ran")
    if state.reason is not None:
        says = f"FAILING for {state.failing_s or 0:.0f} s, {state.reason.value}: {state.detail}"
        return Finding("archive", says, ARCHIVE_CURES[state.reason])
    if state.waiting:
        what, why = next(iter(state.waiting.items()))
        return Finding("archive", f"{len(state.waiting)} wait for the next run ({what}: {why})")
    return Finding("archive", f"ok, last ran at {format_time(state.ran_at)}")


def _erasures(stuck: int) -> Finding:
    if stuck:
        says = f"{stuck} CONFIRMED over an hour ago and not done"
        return Finding("erasures", says, "the worker's log says why; then flask erase goes on")
    return Finding("erasures", "none is overdue")


def _dated(part: str, age_s: float | None, late_s: float, cure: str) -> Finding:
    if age_s is None:
        return Finding(part, "NEVER SEEN", cure)
    if age_s > late_s:
        return Finding(part, f"LATE, last seen {age_s:.0f} s ago", cure)
    return Finding(part, f"ok, last seen {age_s:.0f} s ago")


def _clock(skew_s: float) -> Finding:
    if abs(skew_s) > SKEW_S_MAX:
        says = f"{skew_s:+.1f} s between Postgres and this host"
        return Finding("clocks", f"DIFFER: {says}", "have both hosts keep time by NTP")
    return Finding("clocks", "ok")


def _indexes(invalid: list[str], unindexed: list[str]) -> Finding:
    if invalid:
        cure = "DROP INDEX each of them and run flask db upgrade or flask partitions ensure"
        return Finding("indexes", f"INVALID: {', '.join(invalid)}", cure)
    if unindexed:
        says = f"READ FROM END TO END: {', '.join(unindexed)}"
        return Finding("indexes", says, "run ANALYZE; EXPLAIN the queries that read them")
    return Finding("indexes", "ok")


def _queries(slow_s: list[int]) -> Finding:
    if slow_s:
        says = f"{len(slow_s)} SLOW, the longest runs for {slow_s[0]} s"
        return Finding("queries", says, "look at pg_stat_activity, and end it by pg_cancel_backend")
    return Finding("queries", "ok")


def _broker(settings: Settings) -> Iterator[Finding]:
    broker = broker_of(settings)
    part = f"broker ({broker.scheme})"
    if not broker.answers():
        yield Finding(part, "AWAY", "start it, or correct REDIS_URL or OPSLEDGER_BROKER_URL")
        return
    yield Finding(part, "ok")
    store = broker.open_store(BROKER_TIMEOUT_S)
    if store is None:
        return
    try:
        configured = {
            name: str(store.config_get(name).get(name, ""))
            for name in ("appendonly", "maxmemory", "maxmemory-policy")
        }
    except redis.RedisError:  # a service that does not show its configuration
        return
    finally:
        store.close()
    kept = configured["appendonly"] == "yes"
    yield Finding(
        "broker persistence",
        "on" if kept else "OFF: a restart loses what waits there, which is shipped again",
        "" if kept else "set appendonly yes",
    )
    policy = configured["maxmemory-policy"]
    evicts = policy != NO_EVICTION and configured["maxmemory"] not in {"", "0"}
    yield Finding(
        "broker eviction",
        f"{policy.upper()}: it may drop what waits" if evicts else "off",
        f"set maxmemory-policy {NO_EVICTION}" if evicts else "",
    )


def _spool(settings: Settings) -> Iterator[Finding]:
    folder = settings.spool_dir
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        cure = f"make {folder} a folder that this user may write to (OPSLEDGER_DATA_DIR)"
        yield Finding("spool", "CANNOT BE WRITTEN", cure)
        return
    status = spool_status(folder)
    says = f"{status.bytes} bytes wait, oldest {status.oldest_age_s:.0f} s"
    if status.bytes > SPOOL_SHARE_MAX * settings.spool_bytes_max:
        cure = "start workers; raise OPSLEDGER_SPOOL_BYTES_MAX if the disk allows"
        yield Finding("spool", f"NEARLY FULL: {says}", cure)
    elif status.oldest_age_s > SPOOL_AGE_S_MAX:
        cure = "see that broker, worker and database run; flask spool ship sends what is left"
        yield Finding("spool", f"AGEING: {says}", cure)
    else:
        yield Finding("spool", says)
    if status.quarantined:
        says = f"{status.quarantined} files DAMAGED, {status.quarantined_bytes} bytes set aside"
        yield Finding("spool files", says, "run flask spool verify, and look at the disk")
    free = os.statvfs(folder)
    free_bytes = free.f_bavail * free.f_frsize
    low = free_bytes < DISK_BYTES_MIN
    yield Finding(
        "disk",
        f"{free_bytes // 1_000_000} MB free" + (", NEARLY FULL" if low else ""),
        "free space, or move OPSLEDGER_DATA_DIR" if low else "",
    )

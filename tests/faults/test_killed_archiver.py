"""An archiver that is killed leaves the rows or a verified segment of them: never neither."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.pipeline import archiving
from app.store import objects, s3, segment_file
from app.store.session import Database
from tests.support.archive import Archive, days_of, unused_week
from tests.support.world import Inhabitant, action, audit

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def _dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(times: int) -> Wrap:
    """Dies at the call of a step, after it was done some times."""
    left = [times]

    def wrap(step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                _dies()
            return step(*args, **options)

        return call

    return wrap


def after(times: int) -> Wrap:
    """Dies when a step was done, after it was done some times before."""
    left = [times]

    def wrap(step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = step(*args, **options)
            left[0] -= 1
            if left[0] < 0:
                _dies()
            return result

        return call

    return wrap


def in_child(archive: Archive, work: Callable[[Database], None]) -> int:
    """Have a child process work, with connections of its own; the signal that ended it, or 0."""
    url = archive.world.opsledger.settings.url_of("maintenance")
    child = os.fork()
    if not child:
        try:
            work(Database.connect(url))
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def settled(archive: Archive) -> tuple[Inhabitant, dict[str, int], list[str]]:
    """A tenant with a week of records; how many of each log, and all their ids."""
    week, tenant = unused_week(), archive.settle()
    records = [action(tenant.tenant_id, at=at) for at in days_of(week, 3)]
    records += [action(tenant.tenant_id, at=at + timedelta(hours=1)) for at in days_of(week, 3)]
    records += [audit(tenant.tenant_id, at=at) for at in days_of(week, 2)]
    archive.world.put(*records)
    return tenant, {"action_logs": 6, "audit_logs": 2}, sorted(str(one.id) for one in records)


def ids_of(archive: Archive, tenant: Inhabitant) -> list[str]:
    """Every record of a tenant: of partitions, and of the segments that stand for dropped ones."""
    found = [
        str(row.id)
        for log in ("action_logs", "audit_logs")
        for row in archive.ask(f"SELECT id FROM {log} WHERE tenant_id = :id", id=tenant.tenant_id)
    ]
    for row in archive.segments(tenant.tenant_id):
        if row.state == "cold":
            with archive.objects.fetched(row.object_key) as path:
                found += pq.read_table(path, columns=["id"])["id"].to_pylist()
    return sorted(found)


def check_finished(archive: Archive, tenant: Inhabitant, ids: list[str]) -> None:
    """Nothing is hot, nothing is lost or doubled, nothing is left half-made."""
    assert archive.run().finished
    assert archive.hot(tenant.tenant_id) == archive.hot(tenant.tenant_id, "audit_logs") == 0
    assert ids_of(archive, tenant) == ids
    keys = {row.object_key for row in archive.segments(tenant.tenant_id)}
    assert set(archive.objects.list(f"tenant_id={tenant.tenant_id}/")) == keys
    assert {row.state for row in archive.segments(tenant.tenant_id)} == {"cold"}
    assert list(archive.objects.scratch.iterdir()) == []


BOUNDARIES = [
    (place, name, moment(times))
    for place, name, last in (
        (archiving, "list_hot_days", 1),
        (archiving, "copy_day", 4),
        (segment_file.SegmentWriter, "close", 4),
        (objects.LocalObjects, "put", 4),
        (objects.os, "link", 2),
        (segment_file, "verify", 4),
        (archiving, "register", 4),
        (archiving, "sweep", 4),
        (archiving, "drop_archived", 1),
        (archiving.Archiver, "_drop", 1),
    )
    for times in sorted({0, last})
    for moment in (before, after)
]


REMOTE = [
    (place, name, moment(0))
    for place, name in (
        (s3.S3Objects, "put"),
        (s3.S3Objects, "fetched"),
        (archiving, "register"),
        (archiving, "drop_archived"),
    )
    for moment in (before, after)
]


def named(boundaries: list[Any]) -> list[str]:
    """What each case is called."""
    return [
        f"{name}-{moment.__qualname__.split('.')[0]}-{n}"
        for n, (_, name, moment) in enumerate(boundaries)
    ]


def check_killed(archive: Archive, place: Any, name: str, moment: Wrap) -> None:
    """Right then all records are there once; and the next run finishes."""
    tenant, _, ids = settled(archive)

    def work(database: Database) -> None:
        setattr(place, name, moment(getattr(place, name)))
        archiving.Archiver(database, archive.objects, hot_days=90).run()

    assert in_child(archive, work) == signal.SIGKILL
    assert ids_of(archive, tenant) == ids
    check_finished(archive, tenant, ids)


@pytest.mark.parametrize(("place", "name", "moment"), BOUNDARIES, ids=named(BOUNDARIES))
def test_an_archiver_killed_between_two_steps_lost_and_doubled_nothing(
    archive: Archive, place: Any, name: str, moment: Wrap
) -> None:
    """In a folder."""
    check_killed(archive, place, name, moment)


@pytest.mark.parametrize(("place", "name", "moment"), REMOTE, ids=named(REMOTE))
def test_an_archiver_killed_over_a_bucket_lost_and_doubled_nothing(
    bucket_archive: Archive, place: Any, name: str, moment: Wrap
) -> None:
    """In a real server of S3."""
    check_killed(bucket_archive, place, name, moment)


def test_archivers_killed_at_any_moment_lose_and_double_nothing(archive: Archive) -> None:
    """One after the other, each with a little more time, until one of them finishes."""
    worlds = [settled(archive) for _ in range(8)]

    def work(database: Database) -> None:
        archiving.Archiver(database, archive.objects, hot_days=90).run()

    def killed(kills: int) -> bool:
        child = os.fork()
        if not child:
            try:
                work(Database.connect(archive.world.opsledger.settings.url_of("maintenance")))
            finally:
                os._exit(0)
        killer = threading.Timer(
            random.uniform(0.005, 0.2 * 1.2**kills), os.kill, (child, signal.SIGKILL)
        )
        killer.start()
        ended = os.waitpid(child, 0)[1]
        killer.cancel()
        killer.join()
        return os.WIFSIGNALED(ended)

    kills = 0
    while killed(kills):
        kills += 1
        time.sleep(0.01)
        for tenant, _, ids in worlds[:: len(worlds) - 1]:
            assert ids_of(archive, tenant) == ids
    assert kills >= 3
    for tenant, _, ids in worlds:
        check_finished(archive, tenant, ids)

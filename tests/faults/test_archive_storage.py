"""Storage that fails: nothing is dropped, everybody who looks is told why, and when it is back the
next run finishes.
"""

import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.errors import ArchiveDamaged, StorageFault, StorageReason, reason_of
from app.pipeline import exporting
from app.pipeline.archiving import Archiver
from app.store.places import open_archive
from tests.conftest import opened_archive
from tests.faults.test_killed_archiver import check_finished, ids_of, in_child, settled
from tests.support.archive import Archive, days_of, unused_week
from tests.support.buckets import PLAIN, READER, FaultyStore, Seaweed, opened_store
from tests.support.line import Line
from tests.support.world import action, problem_of

TIMEOUT_S = 2.0


def told(settings: Settings, endpoint: str) -> Settings:
    """The same archive by another way, with little patience."""
    return replace(
        settings,
        archive_endpoint_url=endpoint,
        archive_timeout_s=TIMEOUT_S,
        archive_attempts=2,
    )


@pytest.fixture
def by_line(bucket_settings: Settings, seaweed: Seaweed) -> Iterator[tuple[Line, Settings]]:
    """A real store, behind a line that can be cut."""
    line = Line(seaweed.access().endpoint)
    yield line, told(bucket_settings, line.url)
    line.close()


@pytest.fixture
def faulty(
    archive_environment: dict[str, str],
    bucket_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[FaultyStore, Settings]]:
    """A made-up store with faults before it."""
    with opened_store() as store:
        for name, value in store.access.environment.items():
            monkeypatch.setenv(name, value)
        yield store, told(bucket_settings, store.access.endpoint)


def said(archive: Archive) -> tuple[str, str, str]:
    """What health, the doctor and a scrape say of the archive."""
    archive.world.app.extensions["opsledger-service"].figures._read_at = float("-inf")
    client = archive.world.app.test_client()
    health = client.get("/health/ready").json
    doctor = archive.world.app.test_cli_runner().invoke(args=["doctor"]).output
    (line,) = [one for one in doctor.splitlines() if one.startswith("archive: ")]
    scraped = client.get("/metrics").get_data(as_text=True).splitlines()
    figures = [one for one in scraped if one.startswith("opsledger_archive_failing_seconds")]
    return health["checks"]["archive"], line, "".join(figures)


@contextmanager
def failing(archive: Archive, reason: StorageReason, **options: Any) -> Iterator[None]:
    """A run fails for a reason, drops nothing and says why; after the block it is mended."""
    tenant, rows, ids = settled(archive)
    started = time.monotonic()
    with pytest.raises((StorageFault, ArchiveDamaged)) as refused:
        archive.run(**options)
    assert reason_of(refused.value) is reason
    assert time.monotonic() - started < 20, "bounded"
    assert archive.hot(tenant.tenant_id) == rows["action_logs"]
    assert ids_of(archive, tenant) == ids
    health, doctor, figure = said(archive)
    assert health == reason.value
    assert f"FAILING for 0 s, {reason.value}: " in doctor
    assert f'reason="{reason.value}"' in figure
    yield
    check_finished(archive, tenant, ids)
    health, doctor, figure = said(archive)
    assert (health, figure) == ("ok", "")
    assert doctor.startswith("archive: ok")


def test_a_store_that_is_down(by_line: tuple[Line, Settings], tmp_path: Path) -> None:
    """Connections are refused, or end."""
    line, settings = by_line
    with opened_archive(settings, tmp_path) as archive:
        line.cut()
        with failing(archive, StorageReason.AWAY):
            line.mend()


def test_a_store_that_does_not_answer(bucket_settings: Settings, tmp_path: Path) -> None:
    """It takes connections, and says nothing: that is bounded."""
    line = Line(bucket_settings.archive_endpoint_url)
    line.hold()
    silent = replace(told(bucket_settings, line.url), archive_timeout_s=0.5)
    with (
        opened_archive(bucket_settings, tmp_path) as archive,
        failing(archive, StorageReason.SLOW, objects=open_archive(silent)),
    ):
        line.close()


def test_a_store_that_refuses_writes(
    bucket_settings: Settings, seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By a key that may read only; what is archived already is still found."""
    with opened_archive(bucket_settings, tmp_path) as archive:
        tenant, _, _ = settled(archive)
        archive.run()
        with monkeypatch.context() as reader:
            for name, value in seaweed.access(READER).environment.items():
                reader.setenv(name, value)
            objects = open_archive(bucket_settings)
            with failing(archive, StorageReason.REFUSED, objects=objects):
                path = "/api/v1/logs/actions?include=archived"
                assert len(tenant.get(path).json) == 6
                reader.undo()


def test_credentials_that_have_expired(faulty: Any, tmp_path: Path) -> None:
    """They are told from wrong ones, since the cure is another."""
    store, settings = faulty
    with opened_archive(settings, tmp_path) as archive:
        store.faults.refuse = dict.fromkeys(("PUT", "GET"), (400, "ExpiredToken"))
        with failing(archive, StorageReason.EXPIRED):
            store.faults.clear()


def test_a_store_that_gives_back_something_else(faulty: Any, tmp_path: Path) -> None:
    """One bit is enough, although the store's own checksum says nothing."""
    store, settings = faulty
    with opened_archive(settings, tmp_path) as archive:
        store.faults.spoil = True
        with failing(archive, StorageReason.DAMAGED):
            store.faults.clear()


def test_a_store_that_goes_in_the_middle_of_a_run(
    by_line: tuple[Line, Settings], tmp_path: Path
) -> None:
    """What was verified by then is not exported again."""
    line, settings = by_line
    with opened_archive(settings, tmp_path) as archive:
        week, tenant = unused_week(), archive.settle()
        archive.world.put(*(action(tenant.tenant_id, at=at) for at in days_of(week)))
        left = [3]

        def progress(_: int) -> None:
            left[0] -= 1
            if not left[0]:
                line.cut()

        with pytest.raises(StorageFault):
            archive.run(progress=progress)
        kept = {row.id for row in archive.segments(tenant.tenant_id)}
        assert (len(kept), archive.hot(tenant.tenant_id)) == (3, 7)
        line.mend()
        assert archive.run().rows == 4
        assert kept < {row.id for row in archive.segments(tenant.tenant_id)}
        assert archive.hot(tenant.tenant_id) == 0


def test_a_disk_that_is_full(archive: Archive) -> None:
    """The kernel refuses what is written to it, as it does of a full one."""
    tenant, _, ids = settled(archive)

    def work(database: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(OSError, match="too large"):
            Archiver(database, archive.objects, hot_days=90).run()

    assert in_child(archive, work) == 0
    assert archive.hot(tenant.tenant_id) == 6
    assert ids_of(archive, tenant) == ids
    assert archive.segments(tenant.tenant_id) == []
    health, doctor, figure = said(archive)
    assert (health, 'reason="full"' in figure) == ("full", True)
    assert re.search(r"FAILING for \d s, full: ", doctor)
    check_finished(archive, tenant, ids)
    assert said(archive)[0] == "ok"


def test_readers_without_the_store(by_line: tuple[Line, Settings], tmp_path: Path) -> None:
    """What is hot is found, and that the rest cannot be is said; an export never ends short."""
    line, settings = by_line
    with opened_archive(settings, tmp_path) as archive:
        tenant, _, ids = settled(archive)
        archive.run()
        hot = action(tenant.tenant_id)
        archive.world.put(hot)
        line.cut()
        path = "/api/v1/logs/actions"
        problem = problem_of(tenant.get(f"{path}?include=archived"), 503)
        assert problem["type"].endswith("archive-unavailable")
        assert [row["id"] for row in tenant.get(path).json] == [str(hot.id)]
        exports = "/api/v1/exports"
        for archived in (True, False):
            asked = {"kind": "action", "include_archived": archived}
            name = tenant.post(exports, json=asked).json["id"]
            exporting.run_exports(archive.maintenance, settings)
            shown = tenant.get(f"{exports}/{name}").json
            assert (shown["state"], shown["url"]) == ("failed", None)
            assert shown["error"]
        line.mend()
        assert len(tenant.get(f"{path}?include=archived&limit=100").json) == len(ids) - 2 + 1
        name = tenant.post(exports, json={"kind": "action", "include_archived": True}).json["id"]
        exporting.run_exports(archive.maintenance, settings)
        shown = tenant.get(f"{exports}/{name}").json
        assert (shown["state"], shown["row_count"]) == ("ready", len(ids) - 2 + 1)
        line.cut()
        link = shown["url"].partition("localhost")[2]
        problem_of(archive.world.app.test_client().get(link), 503)


def test_how_long_the_archive_fails_is_told_from_its_first_failure_on(archive: Archive) -> None:
    """And not of the last one."""
    settled(archive)
    objects = open_archive(
        replace(
            archive.world.opsledger.settings,
            archive_url=f"s3://{PLAIN}/x",
            archive_endpoint_url="http://127.0.0.1:9",
            archive_attempts=1,
        )
    )
    since = []
    for _ in range(2):
        with pytest.raises(StorageFault):
            archive.run(objects=objects)
        since += archive.ask("SELECT failing_since, ran_at FROM archive_state")
    assert since[0].failing_since == since[1].failing_since
    assert since[1].ran_at - since[0].ran_at > timedelta(0)
    archive.run()

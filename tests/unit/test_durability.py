"""fsync: what the spool brings to the platter, when, and how few syncs that takes."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from app.capture import AuditService, Recorder
from app.config import Settings
from app.errors import NotDurable
from app.pipeline.shipper import Shipper
from app.spool import segment as module
from tests.support.forks import Fork, until
from tests.support.host import CHANGE
from tests.support.samples import TENANT, action_values, drain, events, metric, open_spool, recover


class Disk:
    """Counts syncs, makes them slow, and may refuse them."""

    def __init__(self) -> None:
        self.syncs = 0
        self.seconds = 0.0
        self.broken = False

    def sync(self, descriptor: int) -> None:
        os.fstat(descriptor)  # of an open file
        time.sleep(self.seconds)
        if self.broken:
            raise OSError("input/output error")
        self.syncs += 1


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk of a test."""
    disk = Disk()
    monkeypatch.setattr(module, "sync_data", disk.sync)
    return disk


def test_by_default_an_append_waits_for_no_disk(tmp_path: Path, disk: Disk) -> None:
    """The kernel has it: that is what surviving SIGKILL takes."""
    spool = open_spool(tmp_path)
    spool.append(b"x")
    assert disk.syncs == 0
    spool.close()


def test_always_means_before_the_append_returns(tmp_path: Path, disk: Disk) -> None:
    """Each alone, where they come one after the other."""
    spool = open_spool(tmp_path, fsync="always")
    for _ in range(3):
        spool.append(b"x")
    assert disk.syncs == 3
    spool.close()


def test_one_record_may_be_durable_among_others_that_are_not(tmp_path: Path, disk: Disk) -> None:
    """It takes those before it along."""
    spool = open_spool(tmp_path, fsync="off")
    spool.append(b"x")
    spool.append(b"y", durable=True)
    spool.append(b"z")
    assert disk.syncs == 1
    spool.close()


def test_appends_at_the_same_time_share_a_sync(tmp_path: Path, disk: Disk) -> None:
    """Group commit: while one syncs the others gather, and the next sync is for all of them."""
    spool = open_spool(tmp_path, fsync="always", segment_bytes_max=1 << 20)
    disk.seconds = 0.02
    threads = [threading.Thread(target=spool.append, args=(b"x",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= disk.syncs <= 4
    spool.close()


def test_the_interval_syncs_what_is_new_and_still_waits(tmp_path: Path, disk: Disk) -> None:
    """Nothing new, or nothing left: nothing to do."""
    spool = open_spool(tmp_path, fsync="interval")
    spool.sync()
    assert disk.syncs == 0
    spool.append(b"x")
    spool.append(b"y")
    spool.sync()
    spool.sync()
    assert disk.syncs == 1
    spool.append(b"z")
    drain(spool)
    spool.sync()
    assert disk.syncs == 1
    spool.append(b"after the file was emptied")
    spool.sync()
    assert disk.syncs == 2
    spool.close()


def test_off_means_never(tmp_path: Path, disk: Disk) -> None:
    """Not even when the shipper comes by."""
    spool = open_spool(tmp_path, fsync="off")
    spool.append(b"x")
    spool.sync()
    assert disk.syncs == 0
    spool.close()


def test_what_a_dead_process_left_is_synced_by_its_heir(tmp_path: Path, disk: Disk) -> None:
    """It may have died before its second was over."""
    dead = open_spool(tmp_path)
    dead.append(b"x")
    dead.after_fork()
    heir = open_spool(tmp_path, fsync="interval")
    heir.adopt()
    heir.sync()
    assert disk.syncs == 1
    heir.close()


def test_a_new_files_name_is_synced_too(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its name in the folder, a file is not found after a power failure."""
    synced: list[Path] = []
    monkeypatch.setattr(module, "sync_folder", synced.append)
    spool = open_spool(tmp_path, fsync="always")
    spool.append(b"x")
    spool.append(b"y")
    assert synced == [tmp_path]
    spool.close()


def test_a_disk_that_does_not_sync_is_told_to_who_asked(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """The record is kept all the same, and not counted as lost."""
    spool = open_spool(tmp_path, fsync="always")
    disk.broken = True
    spool.append(b"x")
    with pytest.raises(NotDurable):
        spool.append(b"y", durable=True)
    assert [event["event"] for event in events(caplog)] == ["spool file not synced"] * 2
    assert drain(spool) == [b"x", b"y"]
    spool.close()


def test_an_audit_may_ask_for_the_platter(tmp_path: Path, disk: Disk) -> None:
    """For all of a service, or for one call."""
    spool = open_spool(tmp_path, fsync="off")
    recorder = Recorder(spool, payload_bytes_max=65536, notify=lambda: None, learn=lambda: None)
    where: dict[str, Any] = {"tenant_id": TENANT, "data": {}, **CHANGE}
    AuditService(recorder, durable=True).log_create(**where)
    AuditService(recorder).log_create(durable=True, **where)
    AuditService(recorder).log_create(**where)
    recorder.record_action(action_values(), durable=True)
    assert disk.syncs == 3
    disk.broken = True
    before = metric("opsledger_lost_total", kind="audit", reason="append_failed")
    with pytest.raises(NotDurable):
        AuditService(recorder, durable=True).log_create(**where)
    assert metric("opsledger_lost_total", kind="audit", reason="append_failed") == before
    spool.close()
    assert len(recover(tmp_path)) == 5


def test_the_shippers_thread_syncs_at_its_interval(tmp_path: Path, disk: Disk) -> None:
    """At most once in it, whatever is appended, and while the broker is away."""

    def away(*_: object) -> None:
        raise ConnectionError("no broker")

    spool = open_spool(tmp_path, fsync="interval")
    shipper = Shipper(
        spool,
        publish=away,
        confirmed=set,
        learn=lambda: None,
        settings=Settings(flush_interval_ms=1, flush_pause_ms=1, spool_sync_interval_s=0.1),
    )
    started = time.monotonic()
    for _ in range(100):
        spool.append(b"x")
        shipper.notify()
        time.sleep(0.004)
    until(lambda: disk.syncs >= 2)
    assert disk.syncs <= 1 + (time.monotonic() - started) / 0.1
    shipper.stop(grace_s=0)


def test_a_fork_during_a_sync_leaves_the_child_free(tmp_path: Path, disk: Disk) -> None:
    """The lock that the parent's thread holds is not there for the child."""
    spool = open_spool(tmp_path, fsync="always")
    disk.seconds = 0.3
    thread = threading.Thread(target=spool.append, args=(b"x",))
    thread.start()
    time.sleep(0.1)

    def child(_: int) -> None:
        disk.seconds = 0.0
        spool.append(b"y")
        spool.close()

    with Fork(child) as process:
        assert process.wait() == 0
    thread.join()
    assert drain(spool) == [b"x"]
    spool.close()

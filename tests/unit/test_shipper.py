"""The shipper: what is in the spool reaches the database, through any broker and any outage."""

import json
import os
import random
import threading
import time
from uuid import UUID

import pytest

from app.pipeline import shipper as module
from app.pipeline.shipper import Backoff
from app.spool import Spool
from tests.support.forks import Fork, until
from tests.support.samples import drain, events, metric, open_spool, recover
from tests.support.shipping import Backend, Open, fill

LONG_S = 10.0  # the bound of waits that should end at once

pytestmark = pytest.mark.usefixtures("hasty")


def test_every_record_arrives_once_and_in_order(
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """And leaves the spool when it is confirmed."""
    sent = fill(spool, 95)
    assert open_shipper().flush(LONG_S)
    assert backend.rows == sent
    assert len(backend.published) == 10
    assert spool.status().bytes == 0


def test_with_nothing_to_ship_nobody_is_bothered(backend: Backend, open_shipper: Open) -> None:
    """No shipment, and no question about none."""
    assert open_shipper().flush(0)
    assert backend.published == []
    assert backend.asked == []


def test_with_the_broker_down_records_wait_on_disk(
    spool: Spool, backend: Backend, open_shipper: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """The outage is counted at each try and logged once; afterwards all arrive, once each."""
    backend.broker_down = True
    sent = fill(spool, 30)
    shipper = open_shipper()
    failed = metric("opsledger_shipments_total", outcome="failed")
    assert not shipper.flush(0.1)
    assert spool.status().bytes > 0
    assert metric("opsledger_shipments_total", outcome="failed") >= failed + 2
    assert [event["event"] for event in events(caplog)] == ["broker away, records wait on disk"]
    assert backend.asked == []
    backend.broker_down = False
    assert shipper.flush(LONG_S)
    assert sorted(backend.rows) == sorted(sent)


def test_every_outage_is_logged(
    spool: Spool, backend: Backend, open_shipper: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Not only the first of a process's life."""
    shipper = open_shipper()
    for number in range(2):
        backend.broker_down = True
        fill(spool, 1, start=number)
        assert not shipper.flush(0.02)
        backend.broker_down = False
        assert shipper.flush(LONG_S)
    assert len(events(caplog)) == 2


def test_what_the_broker_loses_is_sent_again_under_the_same_id(
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """Only a receipt ends a shipment, and the id makes repetition harmless."""
    backend.broker_loses = 3
    sent = fill(spool, 30)
    resent = metric("opsledger_shipments_total", outcome="resent")
    assert open_shipper().flush(LONG_S)
    assert sorted(backend.rows) == sorted(sent)
    assert len(set(backend.published)) == 3
    assert len(backend.published) >= 6
    assert metric("opsledger_shipments_total", outcome="resent") >= resent + 3


def test_each_time_a_shipment_is_sent_again_the_wait_doubles(
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """A slow database is not buried under copies."""
    backend.broker_loses = 1_000_000
    fill(spool, 1)
    shipper = open_shipper(confirm_timeout_s=0.02)
    started = time.monotonic()
    assert not shipper.flush(0.5)
    elapsed = time.monotonic() - started
    # 0.02 + 0.04 + 0.08 + ... : the n-th copy goes out after 0.02 * (2**(n-1) - 1) seconds
    assert len(backend.published) >= 2
    assert 0.02 * (2 ** (len(backend.published) - 1) - 1) <= elapsed


def test_with_the_database_down_nothing_is_forgotten(
    spool: Spool, backend: Backend, open_shipper: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Records wait for their receipts, and the outage is logged once."""
    backend.database_down = True
    sent = fill(spool, 5)
    shipper = open_shipper(confirm_timeout_s=60)
    assert not shipper.flush(0.1)
    assert spool.pending
    assert spool.status().bytes > 0
    assert [event["event"] for event in events(caplog)] == ["database away, receipts wait"]
    backend.database_down = False
    assert shipper.flush(LONG_S)
    assert backend.rows == sent
    assert len(backend.published) == 1


def test_unconfirmed_shipments_are_bounded(
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """The rest stays in the spool until receipts come."""
    backend.database_down = True
    fill(spool, 100)
    shipper = open_shipper(inflight_max=3, confirm_timeout_s=60)
    assert not shipper.flush(0.05)
    assert len(backend.published) == 3
    backend.database_down = False
    assert shipper.flush(LONG_S)
    assert len(backend.rows) == 100


def test_a_receipt_of_somebody_elses_shipment_is_no_error(
    spool: Spool, backend: Backend, open_shipper: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one that comes twice."""
    sent = fill(spool, 1)
    stranger = UUID(int=7)
    shipper = open_shipper()
    answers = backend.confirmed
    monkeypatch.setattr(shipper, "_confirmed", lambda ids: answers(ids) | {stranger})
    assert shipper.flush(LONG_S)
    assert backend.rows == sent


def test_a_shipment_the_broker_never_takes_does_not_stop_the_others(
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """It stays on disk, for whoever finds out why."""
    sent = fill(spool, 50)
    backend.refused = sent[15]
    shipper = open_shipper()
    assert not shipper.flush(1.0)
    assert set(backend.rows) == set(sent) - set(sent[10:20])
    assert shipper.stop(grace_s=0) is False
    assert set(recover(spool.folder)) >= set(sent[10:20])


def test_files_of_dead_processes_are_shipped_too(
    spool: Spool, backend: Backend, open_shipper: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """At the first step, and said so."""
    dead = open_spool(spool.folder)
    sent = fill(dead, 5)
    dead.after_fork()
    with caplog.at_level("INFO"):
        assert open_shipper().flush(LONG_S)
    assert backend.rows == sent
    assert events(caplog)[0]["files"] == 1


def test_the_platform_is_asked_now_and_then(backend: Backend, open_shipper: Open) -> None:
    """With the look for orphans, not with every step."""
    shipper = open_shipper()
    for _ in range(3):
        shipper.flush(0)
    assert backend.learned == 1


def test_random_faults_lose_nothing(spool: Spool, backend: Backend, open_shipper: Open) -> None:
    """Broker and database come and go, shipments vanish, while records keep coming."""
    dice = random.Random(7)
    shipper = open_shipper(confirm_timeout_s=0.01)
    sent: list[bytes] = []
    for _ in range(100):
        backend.broker_down, backend.database_down = dice.random() < 0.3, dice.random() < 0.3
        backend.broker_loses = dice.choice([0, 0, 1, 3])
        sent += fill(spool, dice.randint(0, 20), start=len(sent))
        shipper.flush(0.002)
    backend.broker_down = backend.database_down = False
    backend.broker_loses = 0
    assert shipper.flush(LONG_S)
    assert sorted(backend.rows) == sorted(sent)
    assert spool.status().bytes == 0


def test_a_new_record_wakes_the_thread(spool: Spool, backend: Backend, open_shipper: Open) -> None:
    """It starts with the first and is there for the second."""
    others = set(threading.enumerate())
    shipper = open_shipper()
    sent = fill(spool, 1)
    shipper.notify()
    until(lambda: backend.rows == sent)
    until(lambda: not spool.pending)
    sent += fill(spool, 1, start=1)
    shipper.notify()
    until(lambda: backend.rows == sent, timeout_s=module.ADOPT_INTERVAL_S / 2)
    ours = set(threading.enumerate()) - others
    assert sum(thread.name == "opsledger-shipper" for thread in ours) == 1


def test_the_thread_waits_out_an_outage_without_being_notified(
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """No further record is needed for the last one to arrive."""
    backend.broker_down = True
    sent = fill(spool, 1)
    open_shipper().notify()
    time.sleep(0.05)
    backend.broker_down = False
    until(lambda: backend.rows == sent)


def test_the_thread_outlives_any_error(
    spool: Spool,
    backend: Backend,
    open_shipper: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and the next step goes on."""
    failures = iter([MemoryError("no"), RuntimeError("no")])
    adopt = spool.adopt

    def fail_twice() -> int:
        for error in failures:
            raise error
        return adopt()

    monkeypatch.setattr(spool, "adopt", fail_twice)
    monkeypatch.setattr(module, "ADOPT_INTERVAL_S", 0.01)
    sent = fill(spool, 1)
    open_shipper().notify()
    until(lambda: backend.rows == sent and next(failures, None) is None)
    assert "shipper step failed; it goes on" in [event["event"] for event in events(caplog)]


def test_flushing_outlives_any_error(
    spool: Spool, backend: Backend, open_shipper: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error at the end of a process must not keep it from letting go of its files."""

    def fail() -> int:
        raise RuntimeError("no")

    monkeypatch.setattr(spool, "adopt", fail)
    sent = fill(spool, 1)
    shipper = open_shipper()
    assert shipper.stop(grace_s=LONG_S)
    assert backend.rows == sent


def test_a_thread_that_cannot_start_is_tried_again(
    spool: Spool, backend: Backend, open_shipper: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may be out of threads for a while only."""
    shipper = open_shipper()
    sent = fill(spool, 1)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            shipper.notify()
    shipper.notify()
    until(lambda: backend.rows == sent)


def test_stopping_ships_what_is_left(spool: Spool, backend: Backend, open_shipper: Open) -> None:
    """Within the grace period; the thread is gone afterwards."""
    others = set(threading.enumerate())
    shipper = open_shipper()
    shipper.notify()
    sent = fill(spool, 30)
    assert shipper.stop()
    assert sorted(backend.rows) == sorted(sent)
    ours = set(threading.enumerate()) - others
    assert "opsledger-shipper" not in [thread.name for thread in ours]


def test_what_cannot_be_shipped_in_time_stays_on_disk_for_the_next_process(
    spool: Spool, backend: Backend, open_shipper: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Stopping says so and lets go of the files."""
    backend.broker_down = True
    sent = fill(spool, 30)
    shipper = open_shipper(flush_grace_s=0.05)
    shipper.notify()
    with caplog.at_level("INFO"):
        started = time.monotonic()
        assert not shipper.stop()
        assert time.monotonic() - started < 2
    assert "records wait on disk for another process" in [e["event"] for e in events(caplog)]
    assert recover(spool.folder) == sent


def test_a_record_after_the_end_stays_on_disk(
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """A last word at exit is kept for the next process."""
    shipper = open_shipper()
    shipper.notify()
    shipper.stop()
    fill(spool, 1)
    shipper.notify()
    spool.close()
    assert backend.rows == []
    assert len(recover(spool.folder)) == 1


def test_a_forked_child_ships_its_own_records_and_not_its_parents(
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """With a thread of its own; what is in flight is the parent's business."""
    backend.broker_loses = 1
    mine = fill(spool, 1)
    shipper = open_shipper(confirm_timeout_s=60)
    shipper.notify()
    until(lambda: backend.published)

    def child(pipe: int) -> None:
        backend.asked.clear()
        theirs = fill(spool, 1, start=1)
        shipper.notify()
        until(lambda: not spool.pending)
        told = {"rows": [row.decode() for row in backend.rows], "pending": spool.pending}
        told["shipments"] = len({shipment for asked in backend.asked for shipment in asked})
        told["mine"] = [row.decode() for row in theirs]
        os.write(pipe, json.dumps(told).encode())
        assert shipper.stop()

    with Fork(child) as process:
        told = json.loads(process.rest())
        assert process.wait() == 0
    assert told["rows"] == told["mine"] == ["record 1"]
    assert told["shipments"] == 1
    assert spool.pending
    shipper.stop(grace_s=0)
    assert recover(spool.folder) == mine


def test_backoff_grows_to_its_bound_and_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """With jitter between half and all of the pause."""
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    backoff = Backoff()
    assert not backoff.waiting
    assert backoff.fail()
    assert backoff.waiting
    pauses = []
    for _ in range(6):
        assert not backoff.fail()
        pauses.append(backoff._until - now)
    bound = module.BACKOFF_MAX_S
    assert all(bound / 2 <= pause <= bound for pause in pauses[2:])
    now += bound
    assert not backoff.waiting
    backoff.succeed()
    assert backoff.fail()
    assert backoff._until - now <= module.BACKOFF_FIRST_S


def test_a_spool_that_was_drained_elsewhere_is_flushed(spool: Spool, open_shipper: Open) -> None:
    """Nothing pending is nothing to wait for."""
    fill(spool, 3)
    drain(spool)
    assert open_shipper().flush(0)

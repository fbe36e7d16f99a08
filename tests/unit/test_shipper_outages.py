"""The shipper with servers that froze, or forgot."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from app.config import Settings
from app.pipeline import shipper as module
from app.pipeline.shipper import Shipper
from app.spool import Spool
from tests.support.forks import until
from tests.support.samples import open_spool, recover

Confirm = Callable[[list[UUID]], set[UUID]]


class Broker:
    """Takes shipments, unless it is away."""

    def __init__(self) -> None:
        self.away = False
        self.taken: list[UUID] = []

    def publish(self, shipment_id: UUID, _: tuple[bytes, ...]) -> bytes | None:
        if self.away:
            raise ConnectionError("no broker")
        self.taken.append(shipment_id)
        return None


def ship(spool: Spool, broker: Broker, confirmed: Confirm, confirm_timeout_s: float) -> Shipper:
    settings = Settings(flush_interval_ms=1, flush_pause_ms=1, confirm_timeout_s=confirm_timeout_s)
    return Shipper(
        spool, publish=broker.publish, confirmed=confirmed, learn=lambda: None, settings=settings
    )


def test_a_frozen_database_does_not_hold_up_the_end_of_a_process(tmp_path: Path) -> None:
    """The thread is stuck in its question; stopping waits for the grace period, not for it."""
    spool, stuck, thawed = open_spool(tmp_path), threading.Event(), threading.Event()

    def confirmed(_: list[UUID]) -> set[UUID]:
        stuck.set()
        thawed.wait(30)
        return set()

    shipper = ship(spool, Broker(), confirmed, 15.0)
    spool.append(b"record")
    shipper.notify()
    assert stuck.wait(10)
    started = time.monotonic()
    assert not shipper.stop(grace_s=0.2)
    assert time.monotonic() - started < 5
    thawed.set()
    assert recover(spool.folder) == [b"record"]


def test_after_an_outage_of_the_broker_no_shipment_waits_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent many times waits long for its next turn; a broker that crashed may have
    forgotten it.
    """
    monkeypatch.setattr(module, "BACKOFF_FIRST_S", 0.001)
    spool, broker = open_spool(tmp_path), Broker()
    shipper = ship(spool, broker, lambda _: set(), 0.01)
    spool.append(b"first")
    until(lambda: shipper.flush(0) or len(broker.taken) >= 5)  # 10, 20, 40 … 160 ms apart
    broker.away = True
    spool.append(b"second")
    shipper.flush(0)
    (first,) = set(broker.taken)
    broker.away = False
    time.sleep(0.002)
    shipper.flush(0)
    assert broker.taken.count(first) == 5
    assert shipper._in_flight[first].due_at - time.monotonic() <= 0.01
    shipper.stop(grace_s=0)


def test_after_an_outage_of_the_database_no_shipment_waits_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers gave it back to the broker again and again, and RabbitMQ drops what comes back too
    often; nobody else would bring it.
    """
    monkeypatch.setattr(module, "BACKOFF_MAX_S", 0.001)
    monkeypatch.setattr(module, "CONFIRM_INTERVAL_S", 0.0)
    spool, broker = open_spool(tmp_path), Broker()
    away = True

    def confirmed(_: list[UUID]) -> set[UUID]:
        if away:
            raise ConnectionError("no database")
        return set()

    shipper = ship(spool, broker, confirmed, 0.01)
    spool.append(b"record")
    until(lambda: shipper.flush(0) or len(broker.taken) >= 6)  # 10, 20, 40 … 160 ms apart
    away = False
    until(lambda: shipper.flush(0) or not shipper._database.failing)
    (item,) = shipper._in_flight.values()
    assert item.due_at - time.monotonic() <= 0.01
    shipper.stop(grace_s=0)

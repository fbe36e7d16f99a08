"""Receipts: a caller that waits for its record is told when Postgres has it, and soon."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from app.config import Settings
from app.pipeline import shipper as module
from app.pipeline.shipper import Shipper
from app.spool import Spool
from tests.support.forks import until
from tests.support.samples import open_spool

LONG_S = 10.0  # the bound of waits that should end at once


class Broker:
    """A broker, and a worker that persists at once."""

    def __init__(self) -> None:
        self.down = False
        self.published: set[UUID] = set()
        self.asked: list[list[UUID]] = []

    def publish(self, shipment_id: UUID, _: tuple[bytes, ...]) -> None:
        """Take a shipment."""
        if self.down:
            raise ConnectionError("no broker")
        self.published.add(shipment_id)

    def confirmed(self, shipment_ids: list[UUID]) -> set[UUID]:
        """Which shipments are persisted."""
        self.asked.append(shipment_ids)
        return self.published & set(shipment_ids)


@pytest.fixture
def broker() -> Broker:
    """A broker in order."""
    return Broker()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool to ship."""
    spool = open_spool(tmp_path)
    yield spool
    spool.close()


Open = Callable[..., Shipper]


@pytest.fixture
def open_shipper(spool: Spool, broker: Broker) -> Iterator[Open]:
    """Makes shippers of the spool; they are stopped at the end."""
    made: list[Shipper] = []

    def make(**values: float) -> Shipper:
        shipper = Shipper(
            spool,
            publish=broker.publish,
            confirmed=broker.confirmed,
            learn=lambda: None,
            settings=Settings(**{"flush_interval_ms": 1, "flush_pause_ms": 1, **values}),
        )
        made.append(shipper)
        return shipper

    yield make
    for shipper in made:
        shipper.stop(grace_s=0)


def test_a_waiting_caller_is_served_without_the_wait_for_company(
    spool: Spool, broker: Broker, open_shipper: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it wait for the usual look at receipts; afterwards the pace is the usual again."""
    monkeypatch.setattr(module, "CONFIRM_INTERVAL_S", 30.0)
    shipper = open_shipper(flush_interval_ms=30_000)
    shipper.notify()  # from here on the thread waits for company
    time.sleep(0.05)
    receipts = [threading.Event() for _ in range(5)]
    for number, receipt in enumerate(receipts):
        spool.append(b"record %d" % number, receipt=receipt)
    started = time.monotonic()
    assert all(shipper.await_receipt(receipt, LONG_S) for receipt in receipts)
    assert time.monotonic() - started < LONG_S / 2
    until(lambda: not shipper._hurry.is_set())
    asked = len(broker.asked)
    spool.append(b"later")
    shipper.notify()
    time.sleep(0.1)
    assert len(broker.asked) == asked


def test_a_receipt_tells_of_its_own_record_only(spool: Spool) -> None:
    """Those of records before and after it are others."""
    receipts = [threading.Event() for _ in range(3)]
    for number, receipt in enumerate(receipts):
        spool.append(b"record %d" % number, receipt=receipt)
    shipments = [shipment for _ in range(3) if (shipment := spool.take(1))]
    spool.forget(shipments[1].id)
    assert [receipt.is_set() for receipt in receipts] == [False, True, False]
    spool.forget(shipments[0].id)
    spool.forget(shipments[2].id)
    assert all(receipt.is_set() for receipt in receipts)


def test_who_waits_in_vain_is_told_in_time(
    spool: Spool, broker: Broker, open_shipper: Open
) -> None:
    """And the record arrives when it can."""
    broker.down = True
    receipt = threading.Event()
    spool.append(b"record", receipt=receipt)
    shipper = open_shipper(wait_timeout_s=0.1)
    shipper.notify()
    started = time.monotonic()
    assert not shipper.await_receipt(receipt)
    assert 0.1 <= time.monotonic() - started < 1.0
    broker.down = False
    assert shipper.await_receipt(receipt, LONG_S)

"""Receipts: a caller that waits for its record is told when Postgres has it, and soon."""

import threading
import time

import pytest

from app.pipeline import shipper as module
from app.spool import Spool
from tests.support.forks import until
from tests.support.shipping import Backend, Open

LONG_S = 10.0  # the bound of waits that should end at once


def test_a_waiting_caller_is_served_without_the_wait_for_company(
    spool: Spool, backend: Backend, open_shipper: Open, monkeypatch: pytest.MonkeyPatch
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
    asked = len(backend.asked)
    spool.append(b"later")
    shipper.notify()
    time.sleep(0.1)
    assert len(backend.asked) == asked


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
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """And the record arrives when it can."""
    backend.broker_down = True
    receipt = threading.Event()
    spool.append(b"record", receipt=receipt)
    shipper = open_shipper(wait_timeout_s=0.1)
    shipper.notify()
    started = time.monotonic()
    assert not shipper.await_receipt(receipt)
    assert 0.1 <= time.monotonic() - started < 1.0
    backend.broker_down = False
    assert shipper.await_receipt(receipt, LONG_S)

"""Records travel in company: few shipments, however steadily records come."""

import time
from uuid import UUID

import pytest

from app.pipeline import shipper as module
from app.spool import Spool
from tests.support.forks import until
from tests.support.shipping import Backend, Open, fill

pytestmark = pytest.mark.usefixtures("hasty")


def test_what_comes_while_a_shipment_is_sent_goes_with_the_next(
    spool: Spool, backend: Backend, open_shipper: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, under load, each shipment would carry the few records of one publish."""
    take = backend.publish

    def publish(shipment_id: UUID, payloads: tuple[bytes, ...]) -> None:
        take(shipment_id, payloads)
        if len(backend.published) < 100:
            spool.append(b"meanwhile")

    monkeypatch.setattr(backend, "publish", publish)
    fill(spool, 25)
    open_shipper().flush(0)
    assert len(backend.published) == 3


def test_a_steady_stream_is_shipped_in_company(
    spool: Spool, backend: Backend, open_shipper: Open
) -> None:
    """The first record after a quiet time goes soon; the following ones not before the pause."""
    shipper = open_shipper(flush_pause_ms=60_000, batch_rows_max=500)
    for number in range(100):
        fill(spool, 1, start=number)
        shipper.notify()
        if number == 0:
            until(lambda: len(backend.published) == 1)
        time.sleep(0.001)
    assert len(backend.published) == 1


def test_a_backlog_does_not_wait_for_company(
    spool: Spool, backend: Backend, open_shipper: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has some."""
    monkeypatch.setattr(module, "BACKLOG_BYTES", 100)
    shipper = open_shipper(flush_pause_ms=60_000)
    fill(spool, 1)
    shipper.notify()
    until(lambda: len(backend.published) == 1)
    fill(spool, 10)
    shipper.notify()
    until(lambda: len(backend.published) == 2)

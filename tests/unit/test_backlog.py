"""A long outage: what waited is shipped in order of age, and what is fresh does not wait for it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from app.config import Settings
from app.pipeline import shipper as shipping
from app.pipeline.shipper import Shipper
from app.spool import Spool, folder
from tests.support.samples import drain, open_spool

FILES = 12


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    """A spool with a backlog of many files of ten records, and one fresh record."""
    monkeypatch.setattr(folder, "BACKLOG_BYTES", 500)
    spool = open_spool(tmp_path, segment_bytes_max=180)
    for number in range(FILES * 10):
        spool.append(b"old %06d" % number)
    spool.append(b"fresh 0000")
    yield spool
    spool.close()


def taken(spool: Spool, times: int) -> list[bytes]:
    """The first payload of each of the next shipments."""
    shipments = [shipment for _ in range(times) if (shipment := spool.take(5))]
    return [shipment.payloads[0] for shipment in shipments]


def test_with_a_long_backlog_one_shipment_of_a_few_is_fresh(spool: Spool) -> None:
    """The others are the oldest there are."""
    found = taken(spool, folder.FRESH_TURN)
    assert found.count(b"fresh 0000") == 1
    assert found == sorted(found, key=lambda payload: (payload.startswith(b"fresh"), payload))
    spool.append(b"fresh 0001")
    assert taken(spool, folder.FRESH_TURN).count(b"fresh 0001") == 1


def test_without_fresh_records_the_order_is_that_of_age(spool: Spool) -> None:
    """A turn that nobody needs is nobody's loss."""
    drained = [payload for payload in drain(spool) if payload.startswith(b"old")]
    assert drained == [b"old %06d" % number for number in range(FILES * 10)]


def test_a_short_backlog_is_shipped_in_order(tmp_path: Path) -> None:
    """Where waiting costs a moment only, order is worth more."""
    spool = open_spool(tmp_path, segment_bytes_max=180)
    payloads = [b"old %06d" % number for number in range(FILES * 10)]
    for payload in payloads:
        spool.append(payload)
    assert drain(spool) == payloads
    spool.close()


def test_nothing_is_lost_or_doubled_by_taking_turns(spool: Spool) -> None:
    """While more is appended all the time."""
    found: list[bytes] = []
    for number in range(1, 60):
        spool.append(b"fresh %04d" % number)
        shipment = spool.take(3)
        assert shipment is not None
        found += shipment.payloads
        spool.forget(shipment.id)
    found += drain(spool)
    assert len(found) == len(set(found)) == FILES * 10 + 60
    assert not spool.pending


def test_adopted_files_are_backlog_too(spool: Spool) -> None:
    """What a dead process left must not keep this one's records waiting."""
    spool.after_fork()
    heir = open_spool(spool.folder)
    heir.append(b"fresh 0001")
    heir.adopt()
    assert b"fresh 0001" in taken(heir, folder.FRESH_TURN)
    heir.close()


def test_while_the_broker_is_away_few_records_are_in_memory(spool: Spool) -> None:
    """They are on disk; each try needs one shipment, and a bad one must not stop the others."""

    def away(shipment_id: UUID, payloads: tuple[bytes, ...]) -> None:
        raise ConnectionError("no broker")

    shipper = Shipper(
        spool,
        publish=away,
        confirmed=set,
        learn=lambda: None,
        settings=Settings(batch_rows_max=1, inflight_max=64),
    )
    for _ in range(100):
        shipper._broker.succeed()
        shipper._step()
    assert len(shipper._in_flight) <= shipping.UNSENT_MAX

"""One tail for many readers: read once for all of them, and each has everything once."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from app.api.events import Event
from app.api.shared_tail import AWAY_S, SharedTail, SharedTails
from app.broker import broker_of
from app.errors import CursorTooOld, StoreUnavailable
from app.pipeline.commits import Announcer, News
from tests.support.world import World, eventually

READERS = 40
WAIT_S = 0.5


class Ledger:
    """A log of numbers; a cursor is how many were read."""

    def __init__(self) -> None:
        self.numbers = 0
        self.reads = 0
        self.fault: Exception | None = None

    def read(self, cursor: str | None) -> tuple[Event, bool]:
        """All that is new behind a cursor."""
        assert int(cursor or 0) <= self.numbers
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return Event("records", str(self.numbers), b"[]"), True


@pytest.fixture
def tails(world: World) -> Iterator[SharedTails]:
    """With a listener at the broker that is there."""
    news = News(broker_of(world.opsledger.settings))
    news.wait(UUID(int=0), news.mark(UUID(int=0)), 2.0)
    yield SharedTails(news)
    news.stop()


@pytest.fixture
def announce(world: World) -> Callable[[UUID], None]:
    """Tells of a commit as a worker does."""
    announcer = Announcer(broker_of(world.opsledger.settings), 1.0)
    return lambda tenant_id: announcer.announce([str(tenant_id)])


def follow(tails: SharedTails, tenant_id: UUID, ledger: Ledger, last: int) -> list[str]:
    """The places that a reader comes by, until the last."""
    with tails.followed(tenant_id, ("numbers",), ledger.read) as tail:
        place, told = tail.place("0"), []
        while place.cursor != str(last):
            mark = tails.news.mark(tenant_id)
            try:
                event, at_end = place.look(mark)
            except StoreUnavailable:
                time.sleep(AWAY_S)
                continue
            if event.cursor != place.cursor:
                told.append(event.cursor)
            place = tail.place(event.cursor)
            while at_end and place.cursor != str(last) and not tail.wait(place, mark, WAIT_S):
                pass
        return told


def test_all_readers_come_by_every_place_and_few_reads_serve_them(
    tails: SharedTails, announce: Callable[[UUID], None]
) -> None:
    """Forty who wait, ten commits: a few reads each, not forty; then nobody watches."""
    tenant_id, ledger = uuid4(), Ledger()
    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(follow, tails, tenant_id, ledger, 10) for _ in range(READERS)]
        eventually(lambda: ledger.reads > 0)
        for number in range(1, 11):
            time.sleep(0.05)
            ledger.numbers = number
            announce(tenant_id)
        told = [one.result(30) for one in readers]
    assert all(one[-1] == "10" and one == sorted(set(one), key=int) for one in told)
    assert ledger.reads <= 10 * 4
    eventually(lambda: not watchers(), 10.0)


def test_while_the_database_is_away_one_asks_for_all_and_they_go_on(
    tails: SharedTails, announce: Callable[[UUID], None]
) -> None:
    """Once a second, however many wait."""
    tenant_id, ledger = uuid4(), Ledger()
    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(follow, tails, tenant_id, ledger, 1) for _ in range(READERS)]
        eventually(lambda: ledger.reads > 0)
        time.sleep(0.2)
        ledger.fault, asked = StoreUnavailable(), ledger.reads
        announce(tenant_id)
        time.sleep(2.5 * AWAY_S)
        assert asked < ledger.reads <= asked + 5
        assert not any(one.done() for one in readers)
        ledger.fault, ledger.numbers = None, 1
        assert all(one.result(30) == ["1"] for one in readers)


def test_who_stands_where_nothing_comes_any_more_is_told(
    tails: SharedTails, announce: Callable[[UUID], None]
) -> None:
    """Each of them, when it looks."""
    tenant_id, ledger = uuid4(), Ledger()
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(follow, tails, tenant_id, ledger, 1) for _ in range(4)]
        eventually(lambda: ledger.reads > 0)
        time.sleep(0.2)
        ledger.fault = CursorTooOld("7")
        announce(tenant_id)
        for one in readers:
            with pytest.raises(CursorTooOld):
                one.result(30)


def test_a_slow_reader_keeps_one_event_alive_and_not_all_since(tails: SharedTails) -> None:
    """Those behind it are let go as soon as others have passed them."""
    ledger = Ledger()
    with tails.followed(uuid4(), ("numbers",), ledger.read) as tail:
        slow = tail.place("0")
        ledger.numbers = 1
        slow.look(0)
        for number in range(2, 50):
            ledger.numbers = number
            tail.place(str(number - 1)).look(number)
        assert known_places(tail) <= 2
        assert slow.look(0)[0].cursor == "1"


def watchers() -> list[str]:
    """The threads that look for readers."""
    return [one.name for one in threading.enumerate() if one.name == "opsledger-shared-tail"]


def known_places(tail: SharedTail) -> int:
    """How many places a tail keeps."""
    return len(tail._places)

"""The shared count: what one process counted reaches the others, late if need be."""

import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from app.domain.access import Principal
from app.domain.quota import Quota
from app.pipeline.limits import SHARE_INTERVAL_S, Limiter
from tests.support.world import eventually

LIMIT = 5
QUOTAS = {kind: (Quota(f"key-{kind}", LIMIT), Quota("none", 0)) for kind in ("read", "write")}
PRINCIPAL = Principal(
    key_id=UUID(int=1),
    tenant_id=UUID(int=2),
    tenant_active=True,
    prefix="p",
    scopes=frozenset(),
    expires_at=None,
    revoked_at=None,
)


class Counts:
    """A broker that can be away, or so slow that nobody waits for what it answers."""

    def __init__(self) -> None:
        self.there = True
        self.slow = False
        self.asked = 0
        self.of_each: dict[str, dict[str, int]] = {}

    @property
    def kept(self) -> dict[str, int]:
        return {name: sum(counts.values()) for name, counts in self.of_each.items()}

    def exchange(self, process: str, counts: dict[str, int]) -> dict[str, int]:
        self.asked += 1
        if not self.there:
            raise ConnectionError
        for name, count in counts.items():
            self.of_each.setdefault(name, {})[process] = count
        if self.slow:
            raise TimeoutError
        return {name: self.kept[name] for name in counts}


Make = Callable[[Counts], Limiter]


@pytest.fixture
def limiter() -> Iterator[Make]:
    """Makes limiters at one moment, who tell such a broker; they are stopped at the end."""
    made: list[Limiter] = []

    def make(counts: Counts) -> Limiter:
        made.append(Limiter(QUOTAS, counts.exchange, clock=lambda: 1_700_000_000.0))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def let_in(limiter: Limiter, times: int) -> int:
    """How many of so many requests are let in."""
    verdicts = [limiter.judge(PRINCIPAL, writes=False) for _ in range(times)]
    return sum(all(verdict.allowed for verdict in of_one) for of_one in verdicts)


def test_what_was_counted_without_the_broker_is_reported_once_it_is_back(limiter: Make) -> None:
    """Each request once, however often that was tried."""
    counts = Counts()
    counts.there = False
    one = limiter(counts)
    assert let_in(one, 3) == 3
    eventually(lambda: counts.asked >= 2)
    assert counts.kept == {}
    counts.there = True
    eventually(lambda: list(counts.kept.values()) == [3])
    assert let_in(one, 1) == 1
    eventually(lambda: list(counts.kept.values()) == [4])


def test_what_a_slow_broker_was_told_again_and_again_counts_once(limiter: Make) -> None:
    """It does what it is told, only later: no client may be refused for tries of ours."""
    counts = Counts()
    counts.slow = True
    one, other = limiter(counts), limiter(counts)
    assert let_in(one, 2) == 2
    eventually(lambda: counts.asked >= 3)
    counts.slow = False
    eventually(lambda: list(counts.kept.values()) == [2])
    assert let_in(other, 1) == 1
    eventually(lambda: list(counts.kept.values()) == [3])


def test_what_others_counted_is_known_soon(limiter: Make) -> None:
    """And no request is counted twice by two who share."""
    counts = Counts()
    one, other = limiter(counts), limiter(counts)
    assert let_in(one, 4) == 4
    eventually(lambda: list(counts.kept.values()) == [4])
    assert let_in(other, 1) == 1
    eventually(lambda: list(counts.kept.values()) == [5])
    eventually(lambda: let_in(other, 1) == 0)
    eventually(lambda: let_in(one, 1) == 0)
    assert list(counts.kept.values()) == [5]


def test_requests_that_are_refused_are_not_counted(limiter: Make) -> None:
    """Or a client that keeps trying would never be let in again."""
    counts = Counts()
    one = limiter(counts)
    assert let_in(one, 50) == LIMIT
    eventually(lambda: list(counts.kept.values()) == [LIMIT])


def test_an_idle_process_asks_for_nothing(limiter: Make) -> None:
    """The broker is not polled."""
    counts = Counts()
    one = limiter(counts)
    let_in(one, 1)
    eventually(lambda: counts.asked >= 1)
    time.sleep(2 * SHARE_INTERVAL_S)  # nothing to wait for: that nothing happens is the point
    before = counts.asked
    time.sleep(3 * SHARE_INTERVAL_S)
    assert counts.asked == before


def test_readers_and_writers_are_counted_apart(limiter: Make) -> None:
    """By the name of their quota."""
    counts = Counts()
    one = limiter(counts)
    one.judge(PRINCIPAL, writes=True)
    one.judge(PRINCIPAL, writes=False)
    eventually(lambda: len(counts.kept) == 2)
    assert {name.split(":")[2] for name in counts.kept} == {"key-read", "key-write"}

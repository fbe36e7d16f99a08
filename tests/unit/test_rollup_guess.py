"""How many slow records a day are guessed from the slowest of each day."""

import numpy as np
import pytest

from app.domain.tally import CELL, Array
from app.store.rollup_guess import slow_a_day

LOW, DAYS, COUNT = 10, 30, 400


def cells(slow_each_day: list[int], cell: int = 1) -> Array:
    """One cell of each day; its slowest record is slow if the day has a slow one."""
    rows = [
        (day, cell, COUNT, 0, day, day, LOW if slow else LOW - 1)
        for day, slow in enumerate(slow_each_day)
    ]
    return np.array(rows, dtype=CELL)


@pytest.mark.parametrize("a_day", [0.05, 0.2, 0.7, 1.5])
def test_the_guess_is_near_what_comes_at_random(a_day: float) -> None:
    random = np.random.default_rng(5)
    guesses = [
        slow_a_day(cells(random.poisson(a_day, DAYS).tolist()), LOW, DAYS) for _ in range(300)
    ]
    assert np.mean(guesses) == pytest.approx(a_day, rel=0.3)


def test_cells_add_up() -> None:
    some = [1, 0, 0] * 10
    one = slow_a_day(cells(some), LOW, DAYS)
    both = np.concatenate([cells(some), cells(some, cell=2)])
    assert slow_a_day(both, LOW, DAYS) == pytest.approx(2 * one)


def test_nothing_slow_is_none_and_some_each_day_may_be_all() -> None:
    assert slow_a_day(cells([0] * DAYS), LOW, DAYS) == 0
    assert slow_a_day(cells([3] * DAYS), LOW, DAYS) == COUNT
    assert slow_a_day(np.empty(0, dtype=CELL), LOW, DAYS) == 0

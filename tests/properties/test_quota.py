"""Quotas: never more than the limit in a window, and a promise to let in again that is kept."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.quota import WINDOW_S, Quota, Tally

START = 1_700_000_000.0
gaps = st.lists(st.floats(0, 90, allow_nan=False), min_size=1, max_size=120)


def ask(tally: Tally, quota: Quota, now: float) -> bool:
    """One request: whether it was let in."""
    allowed = tally.look(quota, now).allowed
    tally.own += allowed
    return allowed


@given(limit=st.integers(1, 20), gaps=gaps)
def test_no_clock_window_has_more_than_the_limit(limit: int, gaps: list[float]) -> None:
    """And no window of any other beginning more than twice it."""
    tally, quota, now, let_in = Tally(), Quota("q", limit), START, []
    for gap in gaps:
        now += gap / 10
        if ask(tally, quota, now):
            let_in.append(now)
    for start in let_in:
        assert sum(start <= at < start + WINDOW_S for at in let_in) <= 2 * limit
    for window in {int(at // WINDOW_S) for at in let_in}:
        assert sum(int(at // WINDOW_S) == window for at in let_in) <= limit


@given(limit=st.integers(1, 20), gaps=gaps, offset=st.floats(0, 59))
def test_who_waits_as_told_is_let_in(limit: int, gaps: list[float], offset: float) -> None:
    """At once after it, and one that is told nothing is let in now."""
    tally, quota, now = Tally(), Quota("q", limit), START + offset
    for gap in gaps:
        now += gap / 20
        verdict = tally.look(quota, now)
        assert verdict.allowed == (verdict.remaining > 0)
        assert 0 < verdict.reset_s <= WINDOW_S
        if verdict.allowed:
            tally.own += 1
        else:
            assert verdict.retry_after_s <= 2 * WINDOW_S
            now += verdict.retry_after_s
            assert ask(tally, quota, now)


@given(limit=st.integers(1, 1000), idle=st.floats(2 * WINDOW_S, 10_000))
def test_after_two_windows_without_a_request_all_is_forgotten(limit: int, idle: float) -> None:
    """The whole quota is there again."""
    tally, quota = Tally(), Quota("q", limit)
    while ask(tally, quota, START):
        pass
    assert tally.look(quota, START + idle).remaining == limit

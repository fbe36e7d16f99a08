"""How many records a destination is sent at a time."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.forwarding import CALM_S, OPEN_AFTER, TRIAL_ROWS, rows_at_once

USUAL = st.sampled_from([500, 1000])
CALM = st.floats(-1e6, 1e9)


@given(USUAL, st.integers(0, 10**6), st.none() | CALM)
def test_it_is_always_some_and_never_more_than_a_sink_takes(
    usual: int, failures: int, calm_s: float | None
) -> None:
    """Whatever happened, and whichever way a clock was set."""
    rows = rows_at_once(usual, failures, calm_s)
    assert TRIAL_ROWS <= rows <= usual
    if failures >= OPEN_AFTER:
        assert rows == TRIAL_ROWS


@given(USUAL, CALM, st.floats(0, 1000))
def test_it_grows_with_the_time_since_the_last_doubt(
    usual: int, calm_s: float, later_s: float
) -> None:
    """So a destination on which workers die costs few repeats, and one that is well is quick."""
    assert rows_at_once(usual, 0, calm_s) <= rows_at_once(usual, 0, calm_s + later_s)


def test_it_is_ten_at_first_and_all_after_a_good_minute() -> None:
    """Twice as many every ten seconds; and all at once where there was no doubt."""
    calm = (0.0, CALM_S, 2 * CALM_S, 7 * CALM_S)
    assert [rows_at_once(1000, 0, one) for one in calm] == [10, 20, 40, 1000]
    assert rows_at_once(1000, 1, None) == 1000

"""Percentiles of a histogram are within 3 % of what a sort finds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.domain.histogram import BUCKETS, MIDDLES, bucket_of, histograms_of, percentiles
from app.domain.records import INTEGER_MAX
from tests.support.statistics import check_percentiles, percentile

durations = st.integers(0, 100) | st.integers(0, INTEGER_MAX)


@given(st.lists(st.lists(durations, max_size=50), min_size=1, max_size=4))
def test_percentiles_are_those_of_a_sort(groups: list[list[int]]) -> None:
    """Of each group of durations, as many as there are; of none, none."""
    told = [(group, int(bucket_of(str(ms)))) for group, some in enumerate(groups) for ms in some]
    at, buckets = (np.array([pair[i] for pair in told], dtype=np.int64) for i in (0, 1))
    histograms = histograms_of(at, buckets, np.ones_like(at), len(groups))
    for shown, some in zip(percentiles(histograms), groups, strict=True):
        exact = {f"p{share}": percentile(sorted(some), share / 100) for share in (50, 95, 99)}
        check_percentiles(shown, exact)


@given(durations)
def test_a_bucket_stands_for_its_durations(milliseconds: int) -> None:
    """Within 2.5 %; a short one exactly, since its bucket holds no other."""
    middle = MIDDLES[int(bucket_of(str(milliseconds)))]
    assert abs(middle - milliseconds) <= 0.025 * milliseconds
    if milliseconds <= 20:
        assert middle == milliseconds


def test_every_duration_that_a_record_may_have_has_a_bucket() -> None:
    """The last is the longest's."""
    assert int(bucket_of(str(INTEGER_MAX))) == BUCKETS - 1

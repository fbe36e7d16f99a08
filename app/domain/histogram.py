"""Histograms of durations: buckets that grow by 5 %, and the percentiles read from them.

A percentile is within 2.5 % of the value that a sort of all durations would find.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .records import INTEGER_MAX

Counts = npt.NDArray[np.int64]
Percentiles = dict[str, float | None]  # ms by name, None where there is nothing

# Buckets grow by 5 %, so that any value of one is within 2.5 % of its middle.
BUCKET_GROWTH = 1.05
_LOG_GROWTH = math.log(BUCKET_GROWTH)
PERCENTS = (50, 95, 99)  # the percentiles that are shown, as p50, p95, p99


@lru_cache(maxsize=65_536)
def bucket_of(execution_time_ms: str) -> str:
    """The bucket of a duration: 0 for 0 ms, then one for every 5 %."""
    milliseconds = int(execution_time_ms)
    return str(1 + round(math.log(milliseconds) / _LOG_GROWTH)) if milliseconds else "0"


BUCKETS = int(bucket_of(str(INTEGER_MAX))) + 1


def _middle(bucket: int) -> float:
    """What stands for the whole milliseconds of a bucket: the same share above and below it."""
    if bucket == 0:
        return 0.0
    low = math.ceil(BUCKET_GROWTH ** (bucket - 1.5))
    high = min(math.floor(BUCKET_GROWTH ** (bucket - 0.5)), INTEGER_MAX)
    return 2 * low * high / (low + high) if low <= high else BUCKET_GROWTH ** (bucket - 1)


MIDDLES = np.array([_middle(bucket) for bucket in range(BUCKETS)])


def histograms_of(groups: Counts, buckets: Counts, counts: Counts, group_count: int) -> Counts:
    """How many durations each bucket of each group has: a row of BUCKETS for every group.

    Args:
        groups, buckets, counts: in step, each telling of so many durations of one bucket.
    """
    found = np.zeros(group_count * BUCKETS, dtype=np.int64)
    np.add.at(found, groups * BUCKETS + buckets, counts)
    return found.reshape(group_count, BUCKETS)


def percentiles(histograms: Counts) -> list[Percentiles]:
    """The percentiles (ms) of each row of histograms, by name; None where it is empty.

    p95 is the shortest duration that at least 95 % of all stay within.
    """
    reached = histograms.cumsum(axis=1)
    totals = reached[:, -1:]
    found = []
    for percent in PERCENTS:
        ranks = np.maximum(-(-percent * totals // 100), 1)
        places = np.minimum((reached < ranks).sum(axis=1), BUCKETS - 1)
        found.append(MIDDLES[places].round(2).tolist())
    return [
        {
            f"p{percent}": value if count else None
            for percent, value in zip(PERCENTS, values, strict=True)
        }
        for count, *values in zip(totals[:, 0].tolist(), *found, strict=True)
    ]

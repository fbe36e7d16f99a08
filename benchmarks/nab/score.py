"""The scoring of the Numenta Anomaly Benchmark, from its published description (Lavin and Ahmad,
2015), standard profile: early detections earn more, false ones cost, missed windows cost.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PROBATION_SHARE, PROBATION_OF = 0.15, 5000  # of a file's rows, counted up to so many
FALSE_WEIGHT, MISSED_WEIGHT = 0.11, 1.0  # of the standard profile; a detection weighs 1
FAR = 3.0  # window widths behind a window, where a false alarm costs its full weight


@dataclass(frozen=True, slots=True)
class Labelled:
    """A detector's scores for the rows of a file, and its windows by first and last row."""

    scores: Sequence[float]
    windows: Sequence[tuple[int, int]]


def best_score(files: Iterable[Labelled]) -> tuple[float, float]:
    """The benchmark's score of a detector, and the one threshold for all files that gains it.

    Returns:
        100 for all windows found at their first row and nothing else, 0 for a silent detector.
    """
    rows, windows = [], 0
    for number, file in enumerate(files):
        rows += [(score, (number, place), worth) for score, place, worth in _worths(file)]
        windows += len(file.windows)
    rows.sort(key=lambda row: row[0], reverse=True)
    gains: dict[tuple[int, int], float] = {}
    false = total = 0.0
    best, threshold = 0.0, math.inf
    for place, (score, window, worth) in enumerate(rows):
        if window[1] < 0:
            false += worth
        else:
            known = gains.get(window, -MISSED_WEIGHT)
            gains[window] = max(known, worth)
            total += gains[window] - known
        last = place + 1 == len(rows) or rows[place + 1][0] != score
        if last and total + false > best:
            best, threshold = total + false, score
    # Scaled between a silent detector and a perfect one.
    return 100 * best / (windows * (1 + MISSED_WEIGHT)), threshold


def _worths(file: Labelled) -> Iterable[tuple[float, int, float]]:
    """Of each row past probation its score, its window (-1: none), and what a detection earns."""
    rows = len(file.scores)
    probation = math.floor(min(PROBATION_SHARE * rows, PROBATION_SHARE * PROBATION_OF))
    for row in range(probation, rows):
        yield file.scores[row], *_worth(row, file.windows)


def _worth(row: int, windows: Sequence[tuple[int, int]]) -> tuple[int, float]:
    before = None
    for place, (first, last) in enumerate(windows):
        if first <= row <= last:
            position = -(last - row + 1) / (last - first + 1)
            return place, _falling(position) / _falling(-1.0)
        if last < row:
            before = (first, last)
    if before is None:
        return -1, -FALSE_WEIGHT
    first, last = before
    return -1, FALSE_WEIGHT * _falling((row - last) / (last - first))


def _falling(position: float) -> float:
    """From nearly 1 at the left edge of a window (-1) over 0 at its right edge to nearly -1."""
    return -1.0 if position > FAR else 2 / (1 + math.exp(5 * position)) - 1

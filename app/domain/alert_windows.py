"""What a rule's figure is over a window, told from minutes.

A window seldom begins with a minute. Of the minute that it cuts, a cell knows its first and its
last record: so it lies inside, or outside, or is in doubt. A doubt that could change the answer is
for the caller to settle by looking at the records.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .alert_rules import CELL_NAMES, Figure, Rule
from .grains import MINUTE_MS
from .records import FAILED_STATUSES, Kind
from .tally import Names, start_of

FAILED = frozenset(status.value for status in FAILED_STATUSES)
LAST_MS = MINUTE_MS - 1

Sums = tuple[int, int]  # records, and their execution_time_ms
Cells = dict[Names, Sums]


@dataclass(slots=True)
class MinuteCell:
    """What the records of one minute and cell add up to; first and last from its start, in ms."""

    count: int
    total_ms: int
    first: int
    last: int

    def add(self, other: "MinuteCell") -> None:
        """Add further records of the same minute and cell."""
        self.count += other.count
        self.total_ms += other.total_ms
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)


Minute = dict[Names, MinuteCell]
Minutes = dict[int, Minute]  # by their start, in ms since 1970


def minutes_of(kind: Kind, summary: Mapping[str, Any]) -> Minutes:
    """The minutes of a batch's summary."""
    found: Minutes = {}
    width = len(CELL_NAMES[kind])
    for minute, *rest in summary["cells"]:
        names, figures = tuple(rest[:width]), rest[width:]
        # An older version wrote no times within the minute: then it may be anywhere in it.
        total_ms = figures[1] if kind is Kind.ACTION else 0
        times = figures[3:5] if kind is Kind.ACTION else figures[1:3]
        first, last = times if len(times) == 2 else (0, LAST_MS)
        cell = MinuteCell(figures[0], total_ms, first, last)
        add_minute(found, start_of(minute), {names: cell})
    return found


def add_minute(minutes: Minutes, start: int, added: Minute) -> None:
    """Add the cells of one minute."""
    minute = minutes.setdefault(start, {})
    for names, cell in added.items():
        known = minute.get(names)
        if known is None:
            minute[names] = cell
        else:
            known.add(cell)


@dataclass(slots=True)
class Window:
    """The cells of a window: those that surely lie in it, and those of which one cannot tell."""

    low: int
    sure: Cells
    doubtful: Cells


def cut_windows(minutes: Minutes, lengths_s: Iterable[int], end: int) -> dict[int, Window]:
    """The windows of these lengths (s) that end at a moment (ms), by length."""
    found: dict[int, Window] = {}
    sums: Cells = {}
    starts = sorted((start for start in minutes if start < end), reverse=True)
    place = 0
    for length in sorted(set(lengths_s)):
        low = end - length * 1000
        while place < len(starts) and starts[place] >= low:
            _add(sums, minutes[starts[place]])
            place += 1
        window = found[length] = Window(low, dict(sums), {})
        cut = low // MINUTE_MS * MINUTE_MS
        for names, cell in minutes.get(cut, {}).items() if cut < low else ():
            if cut + cell.first >= low:
                _add(window.sure, {names: cell})
            elif cut + cell.last >= low:
                window.doubtful[names] = (cell.count, cell.total_ms)
    return found


def _add(sums: Cells, minute: Minute) -> None:
    for names, cell in minute.items():
        count, total_ms = sums.get(names, (0, 0))
        sums[names] = (count + cell.count, total_ms + cell.total_ms)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rule's figure is for one group, and whether it calls for an alert; None if records
    have to be looked at to tell.
    """

    group: str
    value: float
    holds: bool | None


def read_rule(rule: Rule, window: Window) -> list[Reading]:
    """The readings of a rule, one for each group that has records; of a rule without groups one."""
    sums: dict[str, list[int]] = {} if rule.group_by else {"": [0] * 6}
    for offset, cells in ((0, window.sure), (3, window.doubtful)):
        for names, (count, total_ms) in cells.items():
            if rule.accepts(names):
                group = sums.setdefault(rule.group_of(names), [0] * 6)
                group[offset] += count
                group[offset + 1] += total_ms
                if rule.kind is Kind.ACTION and names[2] in FAILED:
                    group[offset + 2] += count
    return [_reading(rule, group, found) for group, found in sums.items()]


def _reading(rule: Rule, group: str, sums: Sequence[int]) -> Reading:
    count, most = sums[0], sums[0] + sums[3]
    low, high = _bounds(rule.figure, sums)
    silence = rule.comparison.downward and rule.figure in {Figure.COUNT, Figure.FAILURES}
    judged = [
        rule.comparison.holds(value, rule.threshold) and (most > 0 or silence)
        for value in (low, high)
    ]
    holds: bool | None = None
    if not any(judged) or most < rule.min_count:
        holds = False
    elif all(judged) and count >= rule.min_count:
        holds = True
    return Reading(group, low if rule.figure is Figure.AVERAGE_MS else high, holds)


def _bounds(figure: Figure, sums: Sequence[int]) -> tuple[float, float]:
    """The least and the most that the figure can be, whichever of the doubtful records count."""
    count, total_ms, failed, more, more_ms, more_failed = sums
    if figure is Figure.COUNT:
        return count, count + more
    if figure is Figure.FAILURES:
        return failed, failed + more_failed
    if figure is Figure.ERROR_RATE:
        least = failed / max(count + more - more_failed, 1)
        return least, (failed + more_failed) / max(count + more_failed, 1)
    if not more:
        average = total_ms / max(count, 1)
        return average, average
    alone = total_ms / count if count else 0.0
    return total_ms / (count + more), max(alone, (total_ms + more_ms) / (count + 1))


def largest_count(times: Sequence[int], length_s: int) -> int:
    """The most of these moments (ms, ascending) that any window of a length holds."""
    most, begin = 0, 0
    for place, time in enumerate(times):
        while times[begin] <= time - length_s * 1000:
            begin += 1
        most = max(most, place - begin + 1)
    return most

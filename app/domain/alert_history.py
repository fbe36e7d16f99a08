"""What a rule would have done: replayed over minutes of the past, by the minute."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from .alert_life import CALM_S
from .alert_rules import MINUTE_S, Comparison, Figure, Rule
from .alert_windows import FAILED
from .grains import MINUTE_MS, from_ms
from .records import Kind
from .tally import CellNames, Tally

Series = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Firing:
    """When an alert would have fired and been resolved (None: not yet), and its worst value."""

    group: str
    fired_at: datetime
    resolved_at: datetime | None
    worst: float


def replay(rule: Rule, tally: Tally, names: CellNames, start: int, end: int) -> list[Firing]:
    """The alerts that a rule would have raised between two times (ms, whole minutes), oldest first.

    Args:
        tally: by minute, from a window before `start` on.
    """
    begin = start - rule.window_s * 1000
    length = (end - begin) // MINUTE_MS
    found: list[Firing] = []
    for group, sums in _sums(rule, tally, names, begin, length).items():
        windows = _windows(sums, rule.window_s // MINUTE_S)
        values, enough = _values(rule, windows)
        holds = _holds(rule, values) & enough
        found += _firings(rule, group, holds, values, start)
    return sorted(found, key=lambda firing: (firing.fired_at, firing.group))


def _sums(rule: Rule, tally: Tally, names: CellNames, begin: int, length: int) -> dict[str, Series]:
    """Count, time and failures of each minute, by group."""
    sums: dict[str, Series] = {} if rule.group_by else {"": np.zeros((3, length))}
    cells = tally.cells
    for number in np.unique(cells["cell"]).tolist():
        cell = names.names_of(number)
        if not rule.accepts(cell):
            continue
        group = sums.setdefault(rule.group_of(cell), np.zeros((3, length)))
        own = cells[cells["cell"] == number]
        places = (own["start"] - begin) // MINUTE_MS
        inside = (places >= 0) & (places < length)
        own, places = own[inside], places[inside]
        np.add.at(group[0], places, own["count"])
        np.add.at(group[1], places, own["total_ms"])
        if rule.kind is Kind.ACTION and cell[2] in FAILED:
            np.add.at(group[2], places, own["count"])
    return sums


def _windows(sums: Series, minutes: int) -> Series:
    """The sums of all windows of so many minutes, by the minute they end with."""
    reached = np.concatenate([np.zeros((3, 1)), sums.cumsum(axis=1)], axis=1)
    found: Series = reached[:, minutes:] - reached[:, :-minutes]
    return found[:, 1:]


def _values(rule: Rule, windows: Series) -> tuple[Series, npt.NDArray[np.bool_]]:
    count, total_ms, failed = windows
    some = np.maximum(count, 1)
    values: dict[Figure, Any] = {
        Figure.COUNT: count,
        Figure.FAILURES: failed,
        Figure.ERROR_RATE: failed / some,
        Figure.AVERAGE_MS: total_ms / some,
    }
    rate = rule.figure in {Figure.ERROR_RATE, Figure.AVERAGE_MS}
    enough = (count >= rule.min_count) & ((count > 0) | (not rate))
    return values[rule.figure], enough


def _holds(rule: Rule, values: Series) -> npt.NDArray[np.bool_]:
    compare = {
        Comparison.ABOVE: np.greater,
        Comparison.AT_LEAST: np.greater_equal,
        Comparison.BELOW: np.less,
        Comparison.AT_MOST: np.less_equal,
    }[rule.comparison]
    found: npt.NDArray[np.bool_] = compare(values, rule.threshold)
    return found


def _firings(
    rule: Rule, group: str, holds: npt.NDArray[np.bool_], values: Series, start: int
) -> list[Firing]:
    """The stretches that hold long enough; short pauses do not end one."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], holds.view(np.int8), [0]))))
    found: list[Firing] = []
    last = len(holds)
    stretches: list[list[int]] = []
    for low, high in edges.reshape(-1, 2).tolist():
        if high - low < rule.for_s / MINUTE_S:
            continue
        if stretches and low - stretches[-1][1] <= CALM_S // MINUTE_S:
            stretches[-1][1] = high
        else:
            stretches.append([low, high])
    worst = min if rule.comparison.downward else max
    for low, high in stretches:
        fired_at = start + (low + 1) * MINUTE_MS + rule.for_s * 1000
        resolved_at = start + (high + 1) * MINUTE_MS + CALM_S * 1000
        ended = None if high == last else from_ms(resolved_at)
        found.append(Firing(group, from_ms(fired_at), ended, worst(values[low:high].tolist())))
    return found

"""What tallies say: the statistics and the answers of the analytics endpoints."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from .grains import Grain, floors, from_ms, units
from .histogram import Counts, Percentiles, histograms_of, percentiles
from .identity import created_at_of
from .logs import Statistics, StatisticsCell, add_up
from .records import FAILED_STATUSES, ActionStatus
from .tally import CellNames, Tally, ranked

SUCCESS = ActionStatus.SUCCESS.value
FAILED = tuple(status.value for status in FAILED_STATUSES)


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How many actions there were of a type."""

    action_type: str
    count: int


@dataclass(frozen=True, slots=True)
class ProviderLatency:
    """How long the successes of a provider took, in ms."""

    provider_name: str
    total_calls: int
    average_execution_time_ms: float
    percentiles_ms: Percentiles


@dataclass(frozen=True, slots=True)
class SlowAction:
    """One of the slowest successes."""

    id: UUID
    action_type: str
    provider_name: str
    execution_time_ms: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UserActivity:
    """How often a user, or nobody (None), did an action to a type of resource."""

    user_id: str | None
    action: str
    resource_type: str
    action_count: int


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """What the actions of one unit of time add up to; errors are failures and timeouts."""

    start: datetime
    count: int
    errors: int
    by_status: dict[str, int]
    average_execution_time_ms: float
    percentiles_ms: Percentiles


def statistics_of(tally: Tally, names: CellNames) -> Statistics:
    """The statistics of all cells."""
    numbers, places = np.unique(tally.cells["cell"], return_inverse=True)
    counts, total_ms = _figures(tally, places, len(numbers))
    cells = []
    for number, count, milliseconds in zip(numbers.tolist(), counts, total_ms, strict=True):
        action_type, provider_name, status = names.names_of(number)
        cells.append(
            StatisticsCell(
                action_type=action_type,
                provider_name=provider_name,
                status=status,
                actions=count,
                execution_time_ms=milliseconds,
            )
        )
    # By name, so that the answer does not hang on the order in which cells were numbered.
    cells.sort(key=lambda cell: (cell.action_type, cell.provider_name, cell.status))
    return add_up(cells, _percentiles(tally, np.zeros_like(tally.buckets["cell"]), 1)[0])


def counts_by_type(tally: Tally, names: CellNames) -> list[TypeCount]:
    """How many actions there were of each type, the most frequent first."""
    counts = statistics_of(tally, names).actions_by_type
    return [TypeCount(*item) for item in sorted(counts.items(), key=lambda item: (-item[1], item))]


def latency_by_provider(tally: Tally, names: CellNames) -> list[ProviderLatency]:
    """How long each provider's successes took, the most called first."""
    successes = tally.only(names.matching(((), (), (SUCCESS,))))
    provider_of = {
        number: names.names_of(number)[1] for number in np.unique(successes.cells["cell"]).tolist()
    }
    providers = sorted(set(provider_of.values()))
    place_of = {number: providers.index(name) for number, name in provider_of.items()}
    counts, total_ms = _figures(
        successes, _mapped(successes.cells["cell"], place_of), len(providers)
    )
    shown = _percentiles(successes, _mapped(successes.buckets["cell"], place_of), len(providers))
    found = [
        ProviderLatency(provider, count, round(ms / count, 2), percentiles_ms)
        for provider, count, ms, percentiles_ms in zip(
            providers, counts, total_ms, shown, strict=True
        )
    ]
    return sorted(found, key=lambda latency: -latency.total_calls)


def slowest_of(tally: Tally, names: CellNames, limit: int) -> list[SlowAction]:
    """The slowest successes, of equally slow ones the youngest first."""
    found = []
    for number, milliseconds, id_ in ranked(tally.slowest, limit):
        action_type, provider_name, _ = names.names_of(number)
        created_at = created_at_of(id_)
        found.append(SlowAction(id_, action_type, provider_name, milliseconds, created_at))
    return found


def series_of(
    tally: Tally, names: CellNames, grain: Grain, start: int, end: int
) -> list[SeriesPoint]:
    """The units of a grain from `start` to `end` (ms), those without actions too."""
    starts = list(units(grain, start, end))
    statuses = [status.value for status in ActionStatus]
    status_of = {
        number: statuses.index(names.names_of(number)[2])
        for number in np.unique(tally.cells["cell"]).tolist()
    }
    at = np.searchsorted(starts, floors(grain, tally.cells["start"]))
    flat = at * len(statuses) + _mapped(tally.cells["cell"], status_of)
    counts = _sums(tally.cells["count"], flat, len(starts) * len(statuses))
    shown = _percentiles(
        tally, np.searchsorted(starts, floors(grain, tally.buckets["start"])), len(starts)
    )
    by_status = counts.reshape(-1, len(statuses))
    failed = [statuses.index(status) for status in FAILED]
    return [
        SeriesPoint(
            start=from_ms(unit),
            count=count,
            errors=errors,
            by_status={name: number for name, number in zip(statuses, row, strict=True) if number},
            average_execution_time_ms=round(total_ms / count, 2) if count else 0.0,
            percentiles_ms=percentiles_ms,
        )
        for unit, row, count, errors, total_ms, percentiles_ms in zip(
            starts,
            by_status.tolist(),
            by_status.sum(axis=1).tolist(),
            by_status[:, failed].sum(axis=1).tolist(),
            _sums(tally.cells["total_ms"], at, len(starts)).tolist(),
            shown,
            strict=True,
        )
    ]


def _figures(tally: Tally, groups: Counts, size: int) -> tuple[list[int], list[int]]:
    """The count and the total time of each group of cells."""
    counts, total_ms = (
        _sums(tally.cells[name], groups, size).tolist() for name in ("count", "total_ms")
    )
    return counts, total_ms


def _percentiles(tally: Tally, groups: Counts, size: int) -> list[Percentiles]:
    found = histograms_of(groups, tally.buckets["bucket"], tally.buckets["count"], size)
    return percentiles(found)


def _sums(values: Counts, groups: Counts, size: int) -> Counts:
    """The sum of each group; in integers, which are exact."""
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, groups, values)
    return sums


def _mapped(numbers: Counts, places: dict[int, int]) -> Counts:
    """The place of each number."""
    known, at = np.unique(numbers, return_inverse=True)
    return np.array([places[number] for number in known.tolist()], dtype=np.int64)[at]

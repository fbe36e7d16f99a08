"""What tallies say: the statistics and the answers of the analytics endpoints."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np

from .grains import Grain, floors, from_ms, units
from .histogram import Counts, histograms_of, percentiles
from .identity import created_at_of
from .logs import Statistics, StatisticsCell, add_up
from .records import FAILED_STATUSES, ActionStatus
from .tally import CellNames, Tally, id_of, total

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
    percentiles_ms: dict[str, float | None]


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
    percentiles_ms: dict[str, float | None]


def statistics_of(tally: Tally, names: CellNames) -> Statistics:
    """The statistics of all cells."""
    whole = total(tally)
    cells = [
        StatisticsCell(
            action_type=action_type,
            provider_name=provider_name,
            status=status,
            actions=count,
            execution_time_ms=total_ms,
        )
        for (action_type, provider_name, status), count, total_ms in (
            (names.names_of(number), count, total_ms)
            for number, count, total_ms in whole.cells[["cell", "count", "total_ms"]].tolist()
        )
    ]
    return add_up(cells, percentiles(_histograms(whole, whole.buckets["start"], 1))[0])


def counts_by_type(tally: Tally, names: CellNames) -> list[TypeCount]:
    """How many actions there were of each type, the most frequent first."""
    counts = statistics_of(tally, names).actions_by_type
    return [TypeCount(*item) for item in sorted(counts.items(), key=lambda item: (-item[1], item))]


def latency_by_provider(tally: Tally, names: CellNames) -> list[ProviderLatency]:
    """How long each provider's successes took, the most called first."""
    successes = total(tally.only(names.matching(lambda names: names[2] == SUCCESS)))
    providers = sorted({names.names_of(number)[1] for number in successes.cells["cell"].tolist()})
    of_cells = _places(successes.cells["cell"], providers, names)
    counts, total_ms = (
        _sums(of_cells, successes.cells[name], len(providers)).tolist()
        for name in ("count", "total_ms")
    )
    of_buckets = _places(successes.buckets["cell"], providers, names)
    found = [
        ProviderLatency(provider, count, round(ms / count, 2), shown)
        for provider, count, ms, shown in zip(
            providers,
            counts,
            total_ms,
            percentiles(_histograms(successes, of_buckets, len(providers))),
            strict=True,
        )
    ]
    return sorted(found, key=lambda latency: -latency.total_calls)


def slowest_of(tally: Tally, names: CellNames, limit: int) -> list[SlowAction]:
    """The slowest successes, of equally slow ones the youngest first."""
    found = []
    for row in total(tally).slowest[::-1][:limit]:
        action_type, provider_name, _ = names.names_of(int(row["cell"]))
        id_, milliseconds = id_of(row), int(row["ms"])
        found.append(SlowAction(id_, action_type, provider_name, milliseconds, created_at_of(id_)))
    return found


def series_of(
    tally: Tally, names: CellNames, grain: Grain, start: int, end: int
) -> list[SeriesPoint]:
    """The units of a grain from `start` to `end` (ms), those without actions too."""
    starts = list(units(grain, start, end))
    statuses = [status.value for status in ActionStatus]
    at = np.searchsorted(starts, floors(grain, tally.cells["start"]))
    status_of = {
        number: statuses.index(names.names_of(number)[2])
        for number in np.unique(tally.cells["cell"]).tolist()
    }
    counts = np.zeros((len(starts), len(statuses)), dtype=np.int64)
    of_status = np.array([status_of[cell] for cell in tally.cells["cell"].tolist()], dtype=np.int64)
    np.add.at(counts, (at, of_status), tally.cells["count"])
    at_buckets = np.searchsorted(starts, floors(grain, tally.buckets["start"]))
    return [
        _point(unit, dict(zip(statuses, row, strict=True)), total_ms, shown)
        for unit, row, total_ms, shown in zip(
            starts,
            counts.tolist(),
            _sums(at, tally.cells["total_ms"], len(starts)).tolist(),
            percentiles(_histograms(tally, at_buckets, len(starts))),
            strict=True,
        )
    ]


def _point(
    start: int, by_status: dict[str, int], total_ms: int, shown: dict[str, float | None]
) -> SeriesPoint:
    count = sum(by_status.values())
    return SeriesPoint(
        start=from_ms(start),
        count=count,
        errors=sum(by_status[status] for status in FAILED),
        by_status={status: found for status, found in by_status.items() if found},
        average_execution_time_ms=round(total_ms / count, 2) if count else 0.0,
        percentiles_ms=shown,
    )


def _histograms(tally: Tally, groups: Any, count: int) -> Counts:
    return histograms_of(groups, tally.buckets["bucket"], tally.buckets["count"], count)


def _sums(groups: Any, values: Counts, count: int) -> Counts:
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, groups, values)
    return sums


def _places(cells: Counts, providers: list[str], names: CellNames) -> list[int]:
    """Where in the list the provider of each cell is."""
    place = {provider: at for at, provider in enumerate(providers)}
    return [place[names.names_of(number)[1]] for number in cells.tolist()]

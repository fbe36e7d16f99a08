"""Rollups answer as the rows do, for any records, however they are batched and folded."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from unittest.mock import patch
from uuid import UUID

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.domain.grains import (
    END,
    MINUTE_MS,
    Grain,
    bounds,
    ceiling,
    cover,
    cut_units,
    floor,
    floors,
    following,
)
from app.domain.identity import format_time
from app.domain.records import ActionRecord, ActionStatus, Kind
from app.store import fold as fold_module
from app.store import rollup_map
from app.store.fold import fold
from tests.support.statistics import check
from tests.support.world import World, action

STATS = "/api/v1/logs/stats"
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MONTH_START = (MIDNIGHT - timedelta(days=15)).replace(day=1)
# Around the joints of all grains, where an error by one shows.
JOINTS = [
    *(MONTH_START, MONTH_START + timedelta(days=3), MONTH_START + timedelta(days=3, hours=5)),
    MONTH_START + timedelta(days=3, hours=5, minutes=7),
]
moments = st.builds(
    lambda joint, offset: joint + timedelta(milliseconds=offset),
    st.sampled_from(JOINTS),
    st.sampled_from([-60_001, -60_000, -1, 0, 1, 59_999, 60_000]) | st.integers(-90_000, 90_000),
)
record_values = st.fixed_dictionaries(
    {
        "action_type": st.sampled_from(["crm_create", "email_send"]),
        "status": st.sampled_from(list(ActionStatus)),
        "provider_name": st.sampled_from(["hubspot", "back\\slash\t", "\\N"]),
        "execution_time_ms": st.integers(0, 60) | st.integers(0, 2**31 - 1),
        "at": moments,
    }
)
steps = st.lists(st.lists(record_values, min_size=1, max_size=8) | st.just("fold"), max_size=8)
windows = st.tuples(st.none() | moments, st.none() | moments)
detail = st.sampled_from([1, 3, 6, 1000])  # how many records make a unit detailed
with_the_world = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def fold_all(world: World, tenant_id: UUID) -> None:
    """Fold what waits of a tenant."""
    with world.maintenance.unrestricted_unsafe() as session:
        fold(session, tenant_id)


def take_steps(world: World, tenant_id: UUID, chosen: list[Any]) -> list[ActionRecord]:
    """Commit batches and fold between them; returns all records."""
    records = []
    for step in chosen:
        if step == "fold":
            fold_all(world, tenant_id)
        else:
            batch = [action(tenant_id, **values) for values in step]
            world.put(*batch)
            records += batch
    return records


@with_the_world
@given(chosen=steps, asked=st.lists(windows, min_size=1, max_size=4), detail_rows=detail)
def test_statistics_of_any_window_equal_a_recomputation(
    world: World,
    chosen: list[Any],
    asked: list[tuple[datetime | None, datetime | None]],
    detail_rows: int,
) -> None:
    """Whatever is folded of it, and wherever the window cuts a month, day, hour or minute."""
    tenant = world.settle()
    with patch.object(fold_module, "DETAIL_ROWS", detail_rows):
        records = take_steps(world, tenant.tenant_id, chosen)
    for edges in asked:
        given = [edge for edge in edges if edge]
        since, until = (min(given), max(given)) if len(given) == 2 else edges
        query = {
            name: format_time(edge)
            for name, edge in (("since", since), ("until", until))
            if edge is not None
        }
        within = [
            record
            for record in records
            if (since is None or since <= record.created_at)
            and (until is None or record.created_at < until)
        ]
        check(tenant.get(STATS, query_string=query).json, within)


kinds_of_filter = st.fixed_dictionaries(
    {
        "action_type": st.lists(
            st.sampled_from(["crm_create", "email_send", "crm_get"]), max_size=2
        ),
        "provider_name": st.lists(st.sampled_from(["hubspot", "\\N", "nobody"]), max_size=2),
        "status": st.lists(st.sampled_from([status.value for status in ActionStatus]), max_size=2),
        "min_execution_time_ms": st.none() | st.sampled_from([0, 1, 30, 61, 1_000_000]),
    }
)


@with_the_world
@given(
    chosen=steps,
    wanted=kinds_of_filter,
    asked=windows,
    enough=st.sampled_from([1, 3, 100]),
    detail_rows=detail,
    sizes=st.sampled_from(
        [{"UNIT_ROWS": 500}, {"UNIT_ROWS": 0, "SCAN_ROWS": 0}]
    ),  # as for few records, or for many
)
def test_the_map_leaves_out_no_record_that_matches(
    world: World,
    chosen: list[Any],
    wanted: dict[str, Any],
    asked: tuple[datetime | None, datetime | None],
    enough: int,
    detail_rows: int,
    sizes: dict[str, int],
) -> None:
    """Windows are newest first and apart, and count all that match in them."""
    tenant_id = world.settle().tenant_id
    with patch.object(fold_module, "DETAIL_ROWS", detail_rows):
        records = take_steps(world, tenant_id, chosen)
    since, until = asked
    low = wanted.pop("min_execution_time_ms")
    matching = [
        record
        for record in records
        if all(not some or getattr(record, name) in some for name, some in wanted.items())
        and (since is None or since <= record.created_at)
        and (until is None or record.created_at < until)
        and (low is None or record.execution_time_ms >= low)
    ]
    cell = [wanted[name] for name in ("action_type", "provider_name", "status")]
    database = world.app.extensions["opsledger-service"].database
    with (
        patch.multiple(rollup_map, **sizes),
        database.tenant(tenant_id, snapshot=True) as session,
    ):
        found = list(
            rollup_map.find_windows(
                session,
                tenant_id,
                Kind.ACTION,
                cell,
                since=since,
                until=until,
                min_execution_time_ms=low,
                enough=enough,
            )
        )
    assert all(window.first <= window.last for window in found)
    assert all(older.last < newer.first for newer, older in pairwise(found))
    for window in found:
        inside = [one for one in matching if window.first <= one.created_at <= window.last]
        if low is None:  # of slow ones a cell does not tell how many
            assert len(inside) <= window.matching
        if low is None and asked == (None, None):
            assert len(inside) == window.matching
        matching = [one for one in matching if one not in inside]
    assert matching == []


times = st.integers(0, END)


@given(
    times,
    st.integers(0, 10**9) | st.integers(0, END),
    st.sampled_from(Grain),
    st.randoms(use_true_random=False),
)
def test_a_cover_is_the_window_itself(
    start: int, length: int, coarsest: Grain, chance: random.Random
) -> None:
    """No gap, no overlap, whole units, none too coarse; the rest are edges."""
    assume(coarsest is Grain.MONTH or length <= 10**9)
    end = min(start + length, END)
    detailed = {unit for unit in cut_units(start, end, coarsest) if chance.random() < 0.7}
    parts = cover(start, end, detailed, coarsest=coarsest)
    pieces = sorted([(s.start, s.end) for s in parts.spans] + list(parts.edges))
    assert all(low < high for low, high in pieces)
    if start == end:
        assert pieces == []
    else:
        assert [low for low, _ in pieces] == [start, *(high for _, high in pieces[:-1])]
        assert pieces[-1][1] == end
    for span in parts.spans:
        assert floor(span.grain, span.start) == span.start
        assert floor(span.grain, span.end) == span.end
        assert list(Grain).index(span.grain) <= list(Grain).index(coarsest)
    if coarsest is Grain.MONTH:
        assert len(parts.spans) <= 2 * len(Grain) - 1
        assert len(parts.edges) <= 2
    if len(detailed) == len(set(cut_units(start, end, coarsest))):  # everything is kept finely
        assert all(high - low < 2 * MINUTE_MS for low, high in parts.edges)


@given(st.integers(0, END - 1), st.sampled_from(Grain))
def test_a_time_lies_within_its_unit(time: int, grain: Grain) -> None:
    """Of the calendar in UTC, for one time as for an array of them."""
    start = floor(grain, time)
    assert start <= time < following(grain, start)
    assert ceiling(grain, time) in {start, following(grain, start)}
    assert ceiling(grain, time) >= time
    assert floors(grain, np.array([time]))[0] == start


def test_a_window_without_bounds_holds_all_of_time() -> None:
    """Which months alone can fill."""
    parts = cover(*bounds(None, None), detailed=())
    assert [span.grain for span in parts.spans] == [Grain.MONTH]
    assert parts.edges == ()

"""Evaluation of rules: each default one at its threshold, not before, once, and over again."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.alert_life import Alert
from app.domain.alert_rules import Comparison, Figure, Severity
from app.store.session import Database
from tests.support.watching import CHANGES, ERROR_RATE, FAILURES, LATENCY, Watch
from tests.support.world import World, action, audit

MINUTE = timedelta(minutes=1)
TICK = timedelta(seconds=15)


@pytest.fixture(scope="module")
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    """A database of these tests alone: rules are evaluated for all tenants there are."""
    return own_environment


@pytest.fixture(scope="module")
def maintenance(own_maintenance: Database) -> Database:
    """All tenants of that database."""
    return own_maintenance


@pytest.fixture
def now() -> datetime:
    """A moment that is not the start of a minute, and not ahead."""
    return datetime.now(UTC).replace(second=37, microsecond=500_000) - 2 * MINUTE


@pytest.fixture
def watch(world: World) -> Watch:
    return Watch(world.maintenance, world.settle().tenant_id)


def fail(world: World, watch: Watch, moments: list[datetime], **values: object) -> None:
    world.put(*(action(watch.tenant_id, at=at, status="failure", **values) for at in moments))


def seconds_before(now: datetime, *seconds: float) -> list[datetime]:
    return [now - timedelta(seconds=one) for one in seconds]


def test_more_than_10_failures_in_5_minutes_fire_and_10_do_not(
    world: World, watch: Watch, now: datetime
) -> None:
    """Exactly at the threshold, also across a minute that the window cuts."""
    edge = 299.9
    fail(world, watch, seconds_before(now, 303, 302, edge, 290, *range(1, 9)))
    assert watch.look(now) == []  # 10 within, 2 just outside, whenever it began
    world.put(action(watch.tenant_id, at=now - timedelta(seconds=0.1), status="timeout"))
    (alert,) = watch.look(now)
    assert (alert.rule_name, alert.state, alert.value) == (FAILURES, "firing", 11)
    assert len(alert.record_ids) == 10
    assert watch.events(alert) == ["fired"]


def test_an_error_rate_above_5_percent_fires_with_20_actions(
    world: World, watch: Watch, now: datetime
) -> None:
    """Of fewer nothing can be said; at 5 % exactly nothing is."""
    at = seconds_before(now, *range(100, 118))
    world.put(*(action(watch.tenant_id, at=one) for one in at))
    fail(world, watch, seconds_before(now, 50))
    assert watch.look(now) == []  # 1 of 19
    world.put(action(watch.tenant_id, at=now - 20 * MINUTE))
    assert watch.look(now) == []  # 1 of 20
    fail(world, watch, seconds_before(now, 3000))
    (alert,) = watch.look(now)
    assert (alert.rule_name, alert.severity) == (ERROR_RATE, Severity.CRITICAL)
    assert alert.value == pytest.approx(2 / 21)


def test_a_slow_provider_fires_by_its_name_and_a_quick_one_does_not(
    world: World, watch: Watch, now: datetime
) -> None:
    """At 2,000 ms exactly nothing is said."""
    for provider, milliseconds in (("slow", 2001), ("even", 2000), ("quick", 20)):
        for at in seconds_before(now, *range(10, 16)):
            values = {"provider_name": provider, "execution_time_ms": milliseconds}
            world.put(action(watch.tenant_id, at=at, **values))
    (alert,) = watch.look(now)
    assert (alert.rule_name, alert.group, alert.value) == (LATENCY, "slow", 2001)


def test_more_than_50_changes_in_a_minute_fire_wherever_the_minute_begins(
    world: World, watch: Watch, now: datetime
) -> None:
    """51 evenly over 59 s, told between two looks; 50 are not enough."""
    begin = now - timedelta(seconds=70)
    watch.look(begin - TICK)
    moments = [begin + timedelta(seconds=59 * number / 50) for number in range(51)]
    world.put(*(audit(watch.tenant_id, at=at) for at in moments[1:]))
    assert watch.look(now - timedelta(seconds=10)) == []
    world.put(audit(watch.tenant_id, at=moments[0]))
    (alert,) = watch.look(now)
    assert (alert.rule_name, alert.value) == (CHANGES, 51)
    assert alert.calm_since == now.replace(microsecond=now.microsecond // 1000 * 1000)


def test_an_alert_is_one_until_it_was_well_for_a_minute(
    world: World, watch: Watch, now: datetime
) -> None:
    """It neither repeats nor ends while the figure swings around its threshold."""

    def look(at: datetime) -> list[Alert]:
        return [one for one in watch.look(at) if one.rule_name == FAILURES]

    fail(world, watch, seconds_before(now, *range(1, 12)))
    look(now)
    assert [one.state for one in look(now + TICK)] == ["firing"]
    over = now + 5 * MINUTE
    assert [one.state for one in look(over)] == ["firing"]
    fail(world, watch, seconds_before(over, *range(1, 12)))
    (alert,) = look(over + TICK)
    assert (alert.state, alert.calm_since) == ("firing", None)
    calm = over + 5 * MINUTE + TICK
    assert [one.state for one in look(calm)] == ["firing"]
    (alert,) = look(calm + MINUTE)
    assert (alert.state, watch.events(alert)) == ("resolved", ["fired", "resolved"])
    fail(world, watch, seconds_before(calm + MINUTE, *range(1, 12)))
    assert [one.state for one in look(calm + MINUTE + TICK)] == ["firing", "resolved"]


def test_what_came_late_fires_for_the_time_it_happened(
    world: World, watch: Watch, now: datetime
) -> None:
    """As after an outage; once, however many shipments it comes in."""
    watch.look(now - TICK)
    long_ago = now - 40 * MINUTE
    fail(world, watch, seconds_before(long_ago, *range(1, 9)))
    assert watch.look(now) == []
    fail(world, watch, seconds_before(long_ago, 20, 21, 22))
    (alert,) = watch.look(now + TICK)
    assert (alert.rule_name, alert.state, alert.value) == (FAILURES, "firing", 11)
    fail(world, watch, seconds_before(long_ago, 30, 31, 32))
    watch.look(now + 2 * TICK)
    (alert,) = watch.look(now + TICK + 2 * MINUTE)
    assert watch.events(alert) == ["fired", "resolved"]


def test_old_logs_that_are_brought_in_raise_no_alert(
    world: World, watch: Watch, now: datetime
) -> None:
    """Whoever moves in brings its failures of last year along."""
    fail(world, watch, seconds_before(now - timedelta(hours=13), *range(1, 12)))
    assert watch.look(now) == []
    assert watch.rows("recent_minutes") == []


def test_a_duration_must_be_lasted(world: World, watch: Watch, now: datetime) -> None:
    """Pending until then; withdrawn if it ends before."""
    rule = watch.add(threshold=2.0, for_s=60, window_s=120)
    fail(world, watch, seconds_before(now, 1, 2, 3), error_message="x")
    (alert,) = watch.look(now)
    assert (alert.rule_id, alert.state) == (rule.id, "pending")
    assert [one.state for one in watch.look(now + timedelta(seconds=45))] == ["pending"]
    assert [one.state for one in watch.look(now + MINUTE)] == ["firing"]
    later = now + 10 * MINUTE
    watch.look(later)
    watch.look(later + MINUTE)
    fail(world, watch, seconds_before(later + MINUTE, 1, 2, 3))
    watch.look(later + MINUTE)
    newest = watch.look(later + 4 * MINUTE)[0]
    assert (newest.state, watch.events(newest)) == ("resolved", ["pending", "withdrawn"])


def test_silence_fires_without_a_single_record(world: World, watch: Watch, now: datetime) -> None:
    """An expected source stopped; it resolves when it is back."""
    watch.add(
        comparison=Comparison.BELOW,
        threshold=1.0,
        window_s=300,
        filters={"provider_name": ("hubspot",)},
    )
    world.put(action(watch.tenant_id, at=now - MINUTE))
    assert watch.look(now) == []
    world.put(action(watch.tenant_id, at=now + 3 * MINUTE, provider_name="other"))
    (alert,) = watch.look(now + 5 * MINUTE)
    assert (alert.state, alert.value) == ("firing", 0)
    world.put(action(watch.tenant_id, at=now + 5 * MINUTE))
    watch.look(now + 6 * MINUTE)
    assert [one.state for one in watch.look(now + 7 * MINUTE)] == ["resolved"]


@pytest.mark.parametrize(
    ("change", "still"),
    [
        ("UPDATE alert_rules SET enabled = false WHERE tenant_id = :t", 5),
        ("DELETE FROM alert_rules WHERE tenant_id = :t", 0),
    ],
)
def test_a_rule_that_is_no_more_ends_its_alerts(
    world: World, watch: Watch, now: datetime, change: str, still: int
) -> None:
    """And the default rules do not come back."""
    from sqlalchemy import text

    watch.add()
    fail(world, watch, seconds_before(now, *range(1, 12)))
    watch.look(now)
    with world.maintenance.unrestricted_unsafe() as session:
        session.execute(text(change), {"t": watch.tenant_id})
    (alert,) = watch.look(now + TICK)
    assert alert.state == "resolved"
    assert len(watch.rows("alert_rules")) == still


def test_tenants_do_not_hear_of_each_other(world: World, watch: Watch, now: datetime) -> None:
    """Six failures each are no alert."""
    other = Watch(world.maintenance, world.settle().tenant_id)
    moments = seconds_before(now, *range(1, 7))
    fail(world, watch, moments)
    fail(world, other, moments)
    assert watch.look(now) == other.look(now) == []


def test_each_batch_counts_once_whatever_is_evaluated_twice(
    world: World, watch: Watch, now: datetime
) -> None:
    """Ten failures stay ten."""
    fail(world, watch, seconds_before(now, *range(1, 11)))
    for number in range(4):
        assert watch.look(now + number * timedelta(seconds=1)) == []
    (minute, *_) = list(watch.rows("recent_minutes")) or [None]
    assert minute is not None


def reference(
    rule_figure: Figure, records: list[tuple[datetime, str, int]], end: datetime, window: timedelta
) -> float:
    """The figure from the records themselves."""
    inside = [one for one in records if end - window < one[0] <= end]
    failed = sum(status in {"failure", "timeout"} for _, status, _ in inside)
    if rule_figure is Figure.COUNT:
        return len(inside)
    if rule_figure is Figure.FAILURES:
        return failed
    if not inside:
        return 0.0
    if rule_figure is Figure.ERROR_RATE:
        return failed / len(inside)
    return sum(one[2] for one in inside) / len(inside)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("figure", list(Figure))
def test_figures_are_those_of_the_records(
    world: World, watch: Watch, now: datetime, figure: Figure, seed: int
) -> None:
    """Whatever the window cuts: rules at each side of the true figure agree with it."""
    chance = random.Random(seed)
    records = [
        (
            (now - timedelta(milliseconds=chance.randrange(0, 400_000))),
            chance.choice(["success", "failure", "timeout", "retry"]),
            chance.choice([0, 1, 50, 3000]),
        )
        for _ in range(chance.randrange(1, 60))
    ]
    records = [
        (at.replace(microsecond=at.microsecond // 1000 * 1000), *rest) for at, *rest in records
    ]
    window = timedelta(seconds=chance.choice([60, 120, 300]))
    at = now.replace(microsecond=now.microsecond // 1000 * 1000)
    truth = reference(figure, records, at, window)
    common = {"figure": figure, "window_s": int(window.total_seconds()), "for_s": 1}
    below = watch.add(threshold=truth - 0.001 if truth else 0.0, **common)
    above = watch.add(threshold=truth, **common)
    world.put(
        *(
            action(watch.tenant_id, at=made, status=status, execution_time_ms=ms)
            for made, status, ms in records
        )
    )
    raised = {alert.rule_id for alert in watch.look(at)}
    assert (below.id in raised) == (truth > 0)
    assert above.id not in raised

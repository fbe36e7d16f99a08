"""An evaluation that dies in its middle, twice at once, or without a database: one alert each."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.config import Settings
from app.errors import StoreUnavailable
from app.pipeline import alerting
from app.pipeline.alerting import evaluate_alerts
from app.pipeline.notifying import deliver_messages
from app.store.session import Database
from tests.support.forks import Fork, until
from tests.support.line import Line
from tests.support.receiver import HERE, receiving
from tests.support.watching import FAILURES, Watch
from tests.support.world import Inhabitant, World, action, opened


@pytest.fixture
def world(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app that may send to this host."""
    with opened(replace(settings, private_destinations=HERE), maintenance) as world:
        yield world


@pytest.fixture
def who(world: World) -> Inhabitant:
    """A tenant in trouble."""
    who = world.settle()
    now = datetime.now(UTC)
    times = [now - timedelta(seconds=second) for second in range(1, 13)]
    world.put(*(action(who.tenant_id, at=at, status="failure") for at in times))
    return who


def alerts_of(world: World, who: Inhabitant) -> list[tuple[str, list[str]]]:
    """The tenant's alerts by rule, with what happened to each."""
    watch = Watch(world.maintenance, who.tenant_id)
    return [(one.rule_name, watch.events(one)) for one in watch.alerts()]


def test_an_evaluator_killed_after_it_wrote_leaves_nothing_half_done(
    world: World, who: Inhabitant, settings: Settings
) -> None:
    """Neither cursor nor alert: the next one finds it all as it was, and raises it once."""
    watch = Watch(world.maintenance, who.tenant_id)

    def die_slowly(_: int) -> None:
        keep = alerting.keep_recent

        def stop_before_commit(*arguments: object) -> None:
            keep(*arguments)  # type: ignore[arg-type]
            (settings.data_dir / "written").touch()
            time.sleep(600)

        alerting.keep_recent = stop_before_commit
        database = Database.connect(settings.maintenance_database_url)
        evaluate_alerts(database, now=datetime.now(UTC))

    settings.data_dir.mkdir(exist_ok=True)
    with Fork(die_slowly) as child:
        until((settings.data_dir / "written").exists)
        assert alerts_of(world, who) == []
        child.kill()
    assert watch.rows("alert_cursors") == []
    for _ in range(2):
        watch.look(datetime.now(UTC))
        assert alerts_of(world, who) == [(FAILURES, ["fired"])]


def test_many_evaluations_at_once_raise_an_alert_once(world: World, who: Inhabitant) -> None:
    """Two beats, a command, a worker that was thought dead."""
    Watch(world.maintenance, who.tenant_id).add()
    failed: list[Exception] = []
    start = threading.Barrier(4)

    def evaluate() -> None:
        start.wait()
        try:
            evaluate_alerts(world.maintenance, now=datetime.now(UTC))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert alerts_of(world, who) == [(FAILURES, ["fired"])]


def test_an_evaluation_whose_database_vanished_is_made_up_for(
    world: World, who: Inhabitant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in its middle; and what came meanwhile is found as of the time it happened."""
    line = Line(settings.maintenance_database_url)
    database = Database.connect(line.url)
    keep = alerting.keep_recent

    def cut_before_commit(*arguments: object) -> None:
        keep(*arguments)  # type: ignore[arg-type]
        line.cut()

    monkeypatch.setattr(alerting, "keep_recent", cut_before_commit)
    with pytest.raises(StoreUnavailable):
        evaluate_alerts(database, now=datetime.now(UTC))
    monkeypatch.undo()
    assert alerts_of(world, who) == []
    line.mend()
    evaluate_alerts(database, now=datetime.now(UTC) + timedelta(minutes=20))
    evaluate_alerts(database, now=datetime.now(UTC) + timedelta(minutes=20, seconds=15))
    assert alerts_of(world, who) == [(FAILURES, ["fired"])]
    database.close()
    line.close()


def test_a_sender_killed_after_the_receiver_took_it_sends_it_again_under_its_id(
    world: World, who: Inhabitant, settings: Settings
) -> None:
    """At least once; the id says that it is the same."""
    from app.pipeline import notifying

    with receiving() as receiver:
        body = {"name": "hook", "kind": "webhook", "target": receiver.url}
        assert who.post("/api/v1/alerts/channels", json=body).status_code == 201
        Watch(world.maintenance, who.tenant_id).look(datetime.now(UTC))
        ours = world.opsledger.settings

        def die_before_noting(_: int) -> None:
            notifying.note_sent = lambda *_: time.sleep(600)
            database = Database.connect(settings.maintenance_database_url)
            deliver_messages(database, ours, clock=lambda: datetime.now(UTC))

        with Fork(die_before_noting) as child:
            until(lambda: len(receiver.got) == 1)
            child.kill()
        for later in (30, 70, 200):
            deliver_messages(
                world.maintenance,
                ours,
                clock=lambda later=later: datetime.now(UTC) + timedelta(seconds=later),
            )
        first, second = (headers["webhook-id"] for headers, _ in receiver.got)
        assert first == second
    assert alerts_of(world, who) == [(FAILURES, ["fired"])]

"""Health: quick and honest, whatever is away."""

import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import make_url

from app.config import Settings
from app.store.session import CONNECT_TIMEOUT_S, Database
from app.worker import HEARTBEAT_TASK
from tests.support.line import Line
from tests.support.upkeep import beat_at, forget_run
from tests.support.world import World, opened

QUICK_S = 2.0


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    door = socket.create_server(("127.0.0.1", 0))
    yield door.getsockname()[1]
    door.close()


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


def moved(url: str, port: int) -> str:
    """A database URL at another port."""
    return make_url(url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)


def ready(world: World) -> tuple[int, dict[str, Any], float]:
    """Status, body and seconds of the readiness check."""
    started = time.monotonic()
    response = world.app.test_client().get("/health/ready")
    return response.status_code, response.json, time.monotonic() - started


@pytest.fixture(autouse=True)
def beat(settings: Settings) -> None:
    """Beat lives, unless a test says otherwise."""
    beat_at(settings, age_s=1)


def test_a_service_with_everything_is_ready(world: World) -> None:
    """200 with each part named, and when beat was last heard of."""
    status, body, _ = ready(world)
    assert status == 200
    seen = datetime.fromisoformat(body.pop("beat_last_seen"))
    assert timedelta(seconds=1) <= datetime.now(UTC) - seen < timedelta(seconds=20)
    ages_s = body.pop("ages_s")
    assert list(ages_s) == ["spool", "beat", "fold", "alerts", "partitions", "archive"]
    assert ages_s["spool"] == 0
    assert 1 <= ages_s["beat"] < 20
    assert body == {
        "status": "ok",
        "checks": {"database": "ok", "broker": "ok", "spool": "ok", "beat": "ok", "archive": "ok"},
    }


def test_a_silent_beat_is_named_and_queries_are_served_all_the_same(
    world: World, settings: Settings
) -> None:
    """Upkeep waits, which is no reason to take the service from its callers."""
    beat_at(settings, age_s=6 * settings.heartbeat_s + 1)
    status, body, _ = ready(world)
    assert (status, body["status"], body["checks"]["beat"]) == (200, "degraded", "late")
    forget_run(settings, HEARTBEAT_TASK)
    status, body, _ = ready(world)
    assert (status, body["status"], body["checks"]["beat"]) == (200, "degraded", "never seen")
    assert body["beat_last_seen"] is None


def test_alive_says_nothing_of_others(
    settings: Settings, maintenance: Database, closed_port: int
) -> None:
    """A restart would not bring the database back."""
    url = moved(settings.database_url, closed_port)
    broker = f"redis://127.0.0.1:{closed_port}/0"
    with opened(replace(settings, database_url=url, redis_url=broker), maintenance) as world:
        response = world.app.test_client().get("/health/live")
        assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_without_a_database_the_service_is_not_ready_and_says_so_quickly(
    settings: Settings, maintenance: Database
) -> None:
    """503 while it is away, 200 when it is back, on the very same process."""
    line = Line(settings.database_url)
    with opened(replace(settings, database_url=line.url), maintenance) as world:
        assert ready(world)[0] == 200
        line.cut()
        for _ in range(3):
            status, body, seconds = ready(world)
            assert status == 503
            assert body["status"] == "unavailable"
            assert body["checks"]["database"] == "away"
            assert body["checks"]["broker"] == "ok"
            assert (body["checks"]["beat"], body["beat_last_seen"]) == ("unknown", None)
            assert seconds < QUICK_S
        line.mend()
        assert ready(world)[0] == 200
    line.close()


def test_a_database_that_does_not_answer_is_away_within_the_connect_timeout(
    settings: Settings, maintenance: Database, silent_port: int
) -> None:
    """A frozen host takes connections and never speaks."""
    url = moved(settings.database_url, silent_port)
    with opened(replace(settings, database_url=url), maintenance) as world:
        status, body, seconds = ready(world)
        assert (status, body["checks"]["database"]) == (503, "away")
        assert seconds < CONNECT_TIMEOUT_S + QUICK_S


def test_without_a_broker_the_service_is_ready_but_degraded(
    settings: Settings, maintenance: Database, closed_port: int
) -> None:
    """Queries are served and records wait on disk: no reason to take it out of service."""
    broker = f"redis://127.0.0.1:{closed_port}/0"
    with opened(replace(settings, redis_url=broker), maintenance) as world:
        status, body, seconds = ready(world)
        assert (status, body["status"]) == (200, "degraded")
        assert body["checks"] == {
            **dict.fromkeys(("database", "spool", "beat", "archive"), "ok"),
            "broker": "away",
        }
        assert seconds < QUICK_S


def test_a_broker_that_does_not_answer_is_away_quickly(
    settings: Settings, maintenance: Database, silent_port: int
) -> None:
    """A frozen one must not freeze the check."""
    broker = f"redis://127.0.0.1:{silent_port}/0"
    with opened(replace(settings, redis_url=broker), maintenance) as world:
        status, body, seconds = ready(world)
        assert (status, body["checks"]["broker"]) == (200, "away")
        assert seconds < 2 * QUICK_S


def test_without_its_spool_folder_the_service_is_degraded(world: World) -> None:
    """Records could not be kept."""
    shutil.rmtree(world.opsledger.settings.spool_dir)
    status, body, _ = ready(world)
    assert (status, body["status"], body["checks"]["spool"]) == (200, "degraded", "away")

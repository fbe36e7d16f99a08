"""Rate limits: what is let in, what callers are told, and that the broker keeps nobody waiting."""

import re
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from app.broker import broker_of
from app.config import Settings
from app.pipeline import limits
from app.store.session import Database
from tests.support.world import ALL_SCOPES, Inhabitant, World, eventually, opened, problem_of

ACTIONS = "/api/v1/logs/actions?limit=1"
INGEST = "/api/v1/ingest/actions"
UNLIMITED = {
    f"{kind}s_per_minute_{who}": 0 for kind in ("read", "write") for who in ("key", "tenant")
}


@pytest.fixture
def limited(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app that lets a key read five times a minute and write twice, and a tenant read seven."""
    with opened(bounded(settings), maintenance) as world:
        yield world


def bounded(settings: Settings, **bounds: Any) -> Settings:
    chosen = {
        "reads_per_minute_key": 5,
        "reads_per_minute_tenant": 7,
        "writes_per_minute_key": 2,
        "writes_per_minute_tenant": 0,
        **bounds,
    }
    return replace(settings, **chosen)


def another_key(world: World, tenant: Inhabitant) -> Inhabitant:
    secret = f"ops_test_{uuid4().hex}"
    world.give_key(tenant.tenant_id, secret, ALL_SCOPES)
    return replace(tenant, secret=secret, client=world.app.test_client())


def statuses(tenant: Inhabitant, times: int) -> list[int]:
    return [tenant.get(ACTIONS).status_code for _ in range(times)]


def test_past_the_limit_of_a_key_there_is_a_problem_that_says_when_to_go_on(
    limited: World,
) -> None:
    """429, in the form of all problems; others are served as before."""
    tenant, neighbour = limited.settle(), limited.settle()
    assert statuses(tenant, 5) == [200] * 5
    response = tenant.get(ACTIONS)
    problem = problem_of(response, 429)
    assert problem["type"] == "urn:opsledger:problem:too-many-requests"
    assert "key-reads" in problem["detail"]
    assert 1 <= int(response.headers["Retry-After"]) <= 120
    assert statuses(neighbour, 1) == [200]


def test_every_answer_tells_what_is_left(limited: World) -> None:
    """By the headers of the IETF's draft: the policies, and what remains of each."""
    tenant = limited.settle()
    for left in (4, 3, 2, 1, 0, 0):
        response = tenant.get(ACTIONS)
        policy = '"key-reads";q=5;w=60, "tenant-reads";q=7;w=60'
        assert response.headers["RateLimit-Policy"] == policy
        found = re.fullmatch(
            r'"key-reads";r=(\d+);t=(\d+), "tenant-reads";r=(\d+);t=(\d+)',
            response.headers["RateLimit"],
        )
        assert found
        assert int(found[1]) == left
        assert 1 <= int(found[2]) <= 60


def test_more_keys_are_no_way_around_the_limit_of_the_tenant(limited: World) -> None:
    """What the tenant's keys ask for adds up."""
    tenant = limited.settle()
    assert statuses(tenant, 5) == [200] * 5
    other = another_key(limited, tenant)
    assert statuses(other, 3) == [200, 200, 429]
    assert "tenant-reads" in problem_of(other.get(ACTIONS), 429)["detail"]


def test_readers_and_writers_do_not_use_up_each_others_quota(limited: World) -> None:
    """A client that polls too much must not keep records from being written."""
    tenant = limited.settle()
    statuses(tenant, 6)
    written = [tenant.post(INGEST, json=[]).status_code for _ in range(3)]
    assert written == [400, 400, 429]


def test_what_needs_no_key_has_no_limit(limited: World) -> None:
    """A probe must never be told to go away."""
    tenant = limited.settle()
    statuses(tenant, 6)
    for path in ("/health/live", "/openapi.json"):
        for _ in range(10):
            response = tenant.get(path)
            assert response.status_code == 200
            assert "RateLimit" not in response.headers


def test_a_limit_of_zero_is_none(settings: Settings, maintenance: Database) -> None:
    """And says nothing of limits."""
    with opened(replace(settings, **UNLIMITED), maintenance) as world:
        tenant = world.settle()
        assert set(statuses(tenant, 20)) == {200}
        assert "RateLimit-Policy" not in tenant.get(ACTIONS).headers


def test_processes_count_together(settings: Settings, maintenance: Database) -> None:
    """What one has let in the other learns within a moment, through the broker."""
    with (
        opened(bounded(settings), maintenance) as world,
        opened(bounded(settings), maintenance) as other,
    ):
        tenant = world.settle()
        there = replace(tenant, client=other.app.test_client())
        assert statuses(there, 1) == [200]
        assert statuses(tenant, 4) == [200] * 4

        def one_left_at_most() -> bool:
            left = re.search(r"r=(\d+)", there.get(ACTIONS).headers["RateLimit"])
            return left is not None and left[1] == "0"

        eventually(one_left_at_most, within_s=5)
        eventually(lambda: statuses(tenant, 1) == [429], within_s=5)


def test_telling_the_broker_twice_counts_once(settings: Settings) -> None:
    """As one does whose first word was heard, but not answered in time."""
    exchange = limits.counting_in(broker_of(settings), settings.broker_timeout_s)
    assert exchange is not None
    name = f"{limits.PREFIX}:test:{uuid4()}"
    for count, total in ((3, 3), (3, 3), (4, 4)):
        assert exchange("one", {name: count}) == {name: total}
    assert exchange("other", {name: 2}) == {name: 6}
    assert exchange("one", {}) == {}


@contextmanager
def hung() -> Iterator[str]:
    """A broker that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield f"redis://127.0.0.1:{door.getsockname()[1]}/0"


@contextmanager
def away() -> Iterator[str]:
    """A port where nothing is."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def rabbitmq() -> Iterator[str]:
    """A broker that cannot count; it is not even asked."""
    yield "amqp://127.0.0.1:1//"


@pytest.mark.parametrize("broker", [hung, away, rabbitmq])
def test_without_the_broker_each_process_keeps_the_limits(
    settings: Settings, maintenance: Database, broker: Any
) -> None:
    """Whether it is away, hung, or one that cannot count."""
    with broker() as url:
        name = "broker_url" if url.startswith("amqp") else "redis_url"
        changed = bounded(replace(settings, **{name: url}))
        with opened(changed, maintenance) as world:
            tenant = world.settle()
            assert statuses(tenant, 5) == [200] * 5
            time.sleep(2 * limits.SHARE_INTERVAL_S)
            assert statuses(tenant, 2) == [429] * 2


@pytest.mark.alone
def test_a_hung_broker_slows_no_request(settings: Settings, maintenance: Database) -> None:
    """The same requests, in turn, to an app without limits, whose broker is as hung."""
    with hung() as url:
        base = replace(settings, redis_url=url)
        with (
            opened(base, maintenance) as world,
            opened(replace(base, **UNLIMITED), maintenance) as free,
        ):
            tenant = world.settle()
            pairs = (tenant, replace(tenant, client=free.app.test_client()))
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(150):
                for who, taken in zip(pairs, times, strict=True):
                    started = time.perf_counter()
                    assert who.get(ACTIONS).status_code == 200
                    taken.append(time.perf_counter() - started)
            limited, without = (statistics.quantiles(taken, n=100) for taken in times)
            assert limited[49] - without[49] < 0.001
            assert limited[94] - without[94] < 0.02  # a timeout of the broker's would be 0.25

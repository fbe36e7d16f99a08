"""What a request pays for being let in: the key, its scope, its quotas, and a transaction under
row-level security, over a view of bare Flask.

All three applications are called as a WSGI server calls them, in turn, in one thread; so the
difference is what ours adds, with its request hooks and security headers.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import flask
from sqlalchemy import text
from werkzeug.test import EnvironBuilder

from app.api.service import current_service, current_tenant
from app.auth import API_KEY_HEADER, requires
from app.config import load_settings
from app.domain.access import Scope
from app.store.session import Database
from tests.support.world import World, opened

from .support import percentile, servers

WARM_UP_CALLS = 50  # they look the key up, connect, and fill caches
NOTHING = "a benchmark's"
PATHS = {"bare": "/bare", "door": "/door", "row_security": "/row-security"}

Call = Callable[[], None]


def run(smoke: bool) -> dict[str, float]:
    """Milliseconds a call of each kind, medians, and what the last has over the first."""
    with servers() as bench:
        maintenance = Database.connect(bench.env["MAINTENANCE_DATABASE_URL"])
        with opened(load_settings(bench.env), maintenance) as world:
            figures = figures_of(world, rounds=50 if smoke else 5_000)
        maintenance.close()
    return figures


def figures_of(world: World, rounds: int) -> dict[str, float]:
    """The same, of an app that has not been asked anything yet."""
    calls = _calls(world)
    _measure(calls, WARM_UP_CALLS)
    times = _measure(calls, rounds)
    p50 = {name: percentile(found, 0.5) for name, found in times.items()}
    return {
        **{f"access.{name}_p50_ms": value for name, value in p50.items()},
        "access.door_overhead_p50_ms": p50["door"] - p50["bare"],
        "access.overhead_p50_ms": p50["row_security"] - p50["bare"],
    }


def _calls(world: World) -> dict[str, Call]:
    """A request of each kind, which is known to be answered."""
    bare = flask.Flask("bare")
    bare.add_url_rule(PATHS["bare"], view_func=_answer, endpoint="bare")
    door = requires(Scope.LOGS_READ, leaves_nothing=NOTHING)
    world.app.add_url_rule(PATHS["door"], view_func=door(_answer), endpoint="door")
    world.app.add_url_rule(
        PATHS["row_security"], view_func=door(_answer_from_rows), endpoint="row_security"
    )
    key = {API_KEY_HEADER: world.settle().secret}
    apps = {"bare": bare, "door": world.app, "row_security": world.app}
    return {name: _call(app, PATHS[name], key) for name, app in apps.items()}


def _answer() -> flask.Response:
    return flask.jsonify(rows=1)


def _answer_from_rows() -> flask.Response:
    """The tenant's own row alone, as its transaction sees the table."""
    with current_service().database.tenant(current_tenant()) as session:
        rows = session.execute(text("SELECT count(*) FROM tenants")).scalar_one()
    return flask.jsonify(rows=rows)


def _call(app: flask.Flask, path: str, headers: dict[str, str]) -> Call:
    environ = EnvironBuilder(path=path, headers=headers).get_environ()

    def call() -> None:
        statuses: list[str] = []

        def start_response(status: str, *_: Any) -> Callable[[bytes], object]:
            statuses.append(status)
            return lambda _: None

        body: Iterable[bytes] = app(dict(environ), start_response)
        answer = b"".join(body)
        getattr(body, "close", lambda: None)()
        if statuses != ["200 OK"] or b'"rows":1' not in answer.replace(b" ", b""):
            raise RuntimeError(f"{path} was answered by {statuses}: {answer[:300]!r}")

    return call


def _measure(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every call, each kind after the other."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - started) * 1000)
    return times

"""Errors are problem details from one handler, with a request id and never a stack trace."""

from dataclasses import replace
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url

from app.config import Settings
from app.store.session import Database
from tests.support.line import Line
from tests.support.world import Inhabitant, World, action, opened, problem_of

ACTIONS = "/api/v1/logs/actions"
CONTACTS = "/api/v1/crm/contacts"
UNKNOWN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
SECRET_OF_A_BUG = "the-password-in-a-variable"


def every_kind_of_answer(tenant: Inhabitant) -> dict[int, Any]:
    """A response of each status that one app gives without something being away."""
    anonymous = tenant.client
    responses = [
        tenant.get(ACTIONS),
        tenant.post(CONTACTS, json={"email": "a@example.com"}),
        anonymous.get("/"),
        tenant.get(f"{ACTIONS}?limit=0"),
        anonymous.get(ACTIONS),
        tenant.get(f"{ACTIONS}/{UNKNOWN_ID}"),
        tenant.delete(ACTIONS),
        tenant.post(CONTACTS, data=b"x" * 2_000_000, content_type="application/json"),
        tenant.post(CONTACTS, data=b"x", content_type="text/plain"),
    ]
    found = {response.status_code: response for response in responses}
    assert sorted(found) == [200, 201, 302, 400, 401, 404, 405, 413, 415]
    return found


def test_every_error_is_a_problem_with_a_stable_type(world: World) -> None:
    """Programs read the type, people the title and the detail."""
    for status, response in every_kind_of_answer(world.settle()).items():
        if status >= 400:
            problem = problem_of(response, status)
            assert problem["type"].startswith("urn:opsledger:problem:")
            assert "Traceback" not in problem["detail"]


def test_every_answer_names_its_request(world: World) -> None:
    """Errors, redirects, static files, documentation and health alike, each its own."""
    tenant = world.settle()
    paths = ("/docs", "/static/docs.js", "/openapi.json", "/health/live", "/health/ready", "/nope")
    responses = [*every_kind_of_answer(tenant).values(), *map(tenant.client.get, paths)]
    named = [response.headers["X-Request-ID"] for response in responses]
    assert all(named)
    assert len(set(named)) == len(named)


@pytest.mark.parametrize(
    "given",
    ["a", "req-1", "4bf92f3577b34da6a3ce929d0e0e4736", "A:b/c+d=e.f_g", "x" * 128],
)
@pytest.mark.parametrize("path", [ACTIONS, f"{ACTIONS}?limit=0", "/nope", "/health/live"])
def test_a_sane_request_id_is_taken_over(world: World, given: str, path: str) -> None:
    """So that a caller finds its request in our log; also in the body of an error."""
    tenant = world.settle()
    headers = {**tenant.headers, "X-Request-ID": given}
    response = tenant.client.get(path, headers=headers)
    assert response.headers["X-Request-ID"] == given
    if response.status_code >= 400:
        assert problem_of(response, response.status_code)["request_id"] == given


@pytest.mark.parametrize(
    "given",
    ["", " ", "a b", "x" * 129, "-a", "a,b", "<script>", "a\tb", "ü", "\xff", "${jndi:x}", '"a"'],
)
def test_an_insane_request_id_is_replaced(world: World, given: str) -> None:
    """It would end in logs and headers."""
    tenant = world.settle()
    response = tenant.client.get(ACTIONS, headers={**tenant.headers, "X-Request-ID": given})
    assert response.status_code == 200
    named = response.headers["X-Request-ID"]
    assert named != given
    assert len(named) == 32


def test_an_unexpected_error_tells_nothing_but_where_to_look(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """500 as a problem; the log has the stack trace under the request id, the caller has not."""

    def bug() -> None:
        raise RuntimeError(SECRET_OF_A_BUG)

    world.app.add_url_rule("/bug", view_func=bug)
    response = world.app.test_client().get("/bug")
    problem = problem_of(response, 500)
    said = response.get_data(as_text=True)
    for hidden in (SECRET_OF_A_BUG, "RuntimeError", "Traceback", __file__):
        assert hidden not in said
    logged = "".join(record.getMessage() for record in caplog.records)
    assert problem["request_id"] in logged
    assert SECRET_OF_A_BUG in logged


def test_a_query_that_takes_too_long_is_ended_with_advice(
    settings: Settings, maintenance: Database
) -> None:
    """503 with Retry-After within the bound, while another transaction holds the table."""
    owner = make_url(settings.owner_database_url).set(drivername="postgresql")
    with opened(replace(settings, query_timeout_s=0.2), maintenance) as world:
        tenant = world.settle()
        world.put(action(tenant.tenant_id))
        blocker = psycopg2.connect(owner.render_as_string(hide_password=False))
        with blocker.cursor() as cursor:
            cursor.execute("LOCK TABLE action_logs IN ACCESS EXCLUSIVE MODE")
            response = tenant.get(ACTIONS)
        blocker.close()
        assert "since and until" in problem_of(response, 503)["detail"]
        assert int(response.headers["Retry-After"]) > 0
        assert len(tenant.get(ACTIONS).json) == 1


@pytest.mark.parametrize(
    "path", [ACTIONS, f"{ACTIONS}?action_type=crm_create", "/api/v1/logs/stats"]
)
def test_a_database_that_is_away_is_a_503_and_comes_back(
    settings: Settings, maintenance: Database, path: str
) -> None:
    """With Retry-After, and without a restart of the service."""
    line = Line(settings.database_url)
    with opened(replace(settings, database_url=line.url, key_cache_s=600.0), maintenance) as world:
        tenant = world.settle()
        assert tenant.get("/api/v1/logs/audits").status_code == 200
        line.cut()
        response = tenant.get(path)
        assert "nothing was lost" in problem_of(response, 503)["detail"]
        assert int(response.headers["Retry-After"]) > 0
        line.mend()
        assert tenant.get(path).status_code == 200
    line.close()


def test_head_and_options_need_no_special_care(world: World) -> None:
    """HEAD answers as GET without a body; OPTIONS says what is allowed."""
    tenant = world.settle()
    head = tenant.client.head(ACTIONS, headers=tenant.headers)
    assert (head.status_code, head.data) == (200, b"")
    options = tenant.client.options(ACTIONS, headers=tenant.headers)
    assert options.status_code == 200
    assert set(options.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}

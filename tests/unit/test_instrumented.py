"""Outgoing calls of code that knows nothing of us, and decorated functions: one record each."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests

from app import acting, instrument, logs_action
from app.errors import InvalidRecord
from tests.support.host import Host
from tests.support.peer import Asked, Peer, reply, serving
from tests.support.samples import TENANT


def answer(asked: Asked, handler: Any) -> None:
    """What the path says."""
    if asked.path == "/late":
        time.sleep(0.5)
    if asked.path == "/moved":
        reply(handler, 302, b"", {"Location": "/there"})
    elif asked.path == "/missing":
        reply(handler, 404, b"no such thing")
    else:
        reply(handler, 200, b'{"id": 7, "token": "hidden"}')


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A provider."""
    with serving(answer) as made:
        yield made


@pytest.fixture
def host(open_host: Callable[..., Host]) -> Host:
    """A host whose records can be read."""
    made = open_host()
    made.start()
    return made


class Awaited:
    """An httpx.AsyncClient, called as if it were not one."""

    def __init__(self, **terms: Any) -> None:
        self._terms = terms

    def request(self, method: str, url: str, **options: Any) -> Any:
        async def call() -> Any:
            async with httpx.AsyncClient() as client:
                instrument(client, **self._terms)
                return await client.request(method, url, **options)

        return asyncio.run(call())


CLIENTS = {
    "requests": lambda **terms: instrument(requests.Session(), **terms),
    "httpx": lambda **terms: instrument(httpx.Client(), **terms),
    "httpx async": Awaited,
}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Any:
    """Each kind of client in turn, watched."""
    return CLIENTS[request.param](provider="hubspot", action_type="crm_get")


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [("/", "success", None), ("/moved", "success", None), ("/missing", "failure", "status 404")],
)
def test_a_call_is_one_record(
    host: Host, peer: Peer, client: Any, path: str, status: str, message: str | None
) -> None:
    """A redirected one too; with what was sent and received, secrets masked."""
    follow = {"follow_redirects": True} if "httpx" in type(client).__module__ else {}
    if isinstance(client, Awaited):
        follow = {"follow_redirects": True}
    with acting(tenant_id=TENANT):
        client.request("POST", f"{peer.url}{path}", json={"a": 1, "password": "hidden"}, **follow)
    record = host.one()
    assert (record.action_type, record.provider_name) == ("crm_get", "hubspot")
    assert (record.status, record.error_message) == (status, message)
    assert record.request_payload["method"] == "POST"
    assert record.request_payload["url"] == f"{peer.url}{path}"
    assert record.request_payload["body"] == {"a": 1, "password": "[redacted: password]"}
    if status == "success":
        assert record.response_data["body"] == {"id": 7, "token": "[redacted: token]"}
    else:
        assert record.response_data == {"status": 404, "body": {"bytes": 13}}
    assert "hidden" not in repr(record)


def test_a_secret_in_the_query_is_masked(host: Host, peer: Peer, client: Any) -> None:
    """By its name; and the URL is without its query."""
    with acting(tenant_id=TENANT):
        client.request("GET", f"{peer.url}/a?api_key=hidden&q=x")
    payload = host.one().request_payload
    assert payload["query"] == {"api_key": "[redacted: apikey]", "q": "x"}
    assert payload["url"] == f"{peer.url}/a"


def test_a_timeout_and_a_dead_host_are_on_record_and_raised(
    host: Host, peer: Peer, client: Any
) -> None:
    """As the library raises them."""
    with acting(tenant_id=TENANT):
        with pytest.raises((requests.Timeout, httpx.TimeoutException)):
            client.request("GET", f"{peer.url}/late", timeout=0.1)
        with pytest.raises((requests.ConnectionError, httpx.ConnectError)):
            client.request("GET", "http://127.0.0.1:1/", timeout=0.5)
    late, dead = host.kept()
    assert (late.status, dead.status) == ("timeout", "failure")
    assert late.execution_time_ms >= 90
    assert late.response_data is dead.response_data is None


def test_a_stream_is_left_to_its_reader(host: Host, peer: Peer) -> None:
    """Nothing of it is read here."""
    session = instrument(requests.Session(), provider="hubspot", action_type="crm_get")
    with acting(tenant_id=TENANT), session.get(f"{peer.url}/", stream=True) as response:
        assert response.raw.read() == b'{"id": 7, "token": "hidden"}'
    assert host.one().response_data == {"status": 200}


def test_what_shall_not_be_on_record_is_not(host: Host, peer: Peer) -> None:
    """And a session that is instrumented twice leaves one record."""
    session = requests.Session()
    for _ in range(2):
        instrument(
            session,
            provider="hubspot",
            action_type=lambda _, url: "crm_get" if url.endswith("/a") else None,
        )
    with acting(tenant_id=TENANT):
        for path in ("/a", "/b"):
            assert session.get(f"{peer.url}{path}").ok
    assert host.one().request_payload["url"].endswith("/a")


@pytest.mark.parametrize("kind", ["nonsense", lambda *_: 1 / 0])
def test_what_goes_wrong_in_recording_breaks_no_call(host: Host, peer: Peer, kind: Any) -> None:
    """An action type that there is not, a function that fails, nobody whose call it is."""
    session = instrument(requests.Session(), provider="hubspot", action_type=kind)
    assert session.get(f"{peer.url}/").ok
    assert host.kept() == []


def test_only_known_clients_are_taken() -> None:
    """What is something else is told at once."""
    with pytest.raises(TypeError, match="requests"):
        instrument(object(), provider="hubspot", action_type="crm_get")


class Service:
    """A host's class."""

    @logs_action("crm_get", provider="hubspot", tenant_id=lambda *_, **__: TENANT)
    def find(self, number: int, *, deep: bool = False) -> dict[str, int]:
        """A method."""
        if number < 0:
            raise TimeoutError("late")
        return {"number": number, "depth": 2 if deep else 1}


def test_a_decorated_method_is_on_record_by_the_names_of_its_arguments(host: Host) -> None:
    """Whether they came by place or by name; it keeps its own name and docstring."""
    assert Service().find(7, deep=True) == {"number": 7, "depth": 2}
    assert Service().find(number=8) == {"number": 8, "depth": 1}
    with pytest.raises(TimeoutError):
        Service().find(-1)
    with pytest.raises(TypeError):
        Service().find()  # type: ignore[call-arg]
    first, second, late, wrong = host.kept()
    assert first.request_payload == {"number": 7, "deep": True}
    assert second.request_payload == {"number": 8}
    assert second.response_data == {"number": 8, "depth": 1}
    assert (late.status, late.error_message) == ("timeout", "late")
    assert wrong.status == "failure"
    assert (Service.find.__name__, Service.find.__doc__) == ("find", "A method.")


def test_a_function_whose_record_would_be_refused_is_not_run(host: Host) -> None:
    """Told at the call, before the provider is asked."""
    ran: list[int] = []
    function = logs_action("nonsense", provider="hubspot")(ran.append)
    with pytest.raises(InvalidRecord):
        function(1)
    assert ran == []


def test_a_coroutine_is_refused() -> None:
    """Its call ends before it is done."""

    async def later() -> None:
        """Later."""

    with pytest.raises(TypeError, match="ActionLogger"):
        logs_action("crm_get", provider="hubspot")(later)

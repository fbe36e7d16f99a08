"""Capture in a host application when things fail: the answer stays what it would have been."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from app import AuditService, log_action
from app.capture import ActionLogger
from tests.support.host import CALL, CHANGE, Host
from tests.support.samples import TENANT, events, metric

Open = Callable[..., Host]


class Hostile(Mapping[str, Any]):
    """A payload that raises at whatever is done to it."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __hash__(self) -> int:
        raise RuntimeError("no")


class Unprintable:
    """An object without a text."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("payload", [Hostile(), Unprintable(), [Unprintable()], {"a": Hostile()}])
def test_a_payload_that_raises_never_breaks_the_view(open_host: Open, payload: Any) -> None:
    """Whichever way it is captured; and what happened is on record all the same."""
    host = open_host()

    @host.app.get("/odd")
    def odd() -> str:
        log_action(tenant_id=TENANT, request_payload=payload, response_data=payload, **CALL)
        with ActionLogger(TENANT, "crm_get", "hubspot", request_payload=payload) as call:
            call.response_data = payload
        where = {"tenant_id": TENANT, **CHANGE}
        AuditService().log_update(before={"a": payload}, after={"a": payload}, **where)
        AuditService().log_update(before=payload, after=payload, **where)
        return "fine"

    assert host.start().get("/odd").text == "fine"
    assert len(host.kept()) == 4


def test_with_broker_and_database_down_the_answer_is_the_same(open_host: Open) -> None:
    """A hundred calls, a hundred records, on this host's disk."""
    host = open_host()
    client = host.start()
    ids = [f"r-{number}" for number in range(100)]
    for request_id in ids:
        answer = client.get("/call/a", headers={"X-Request-ID": request_id})
        assert answer.status_code == 201
    assert [record.metadata["http"]["request_id"] for record in host.kept()] == ids


def test_a_spool_that_refuses_does_not_change_the_answer(
    open_host: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """The record is counted and logged as lost."""
    host = open_host({"spool_bytes_max": 1, "spool_reserve_bytes": 0})
    before = metric("opsledger_lost_total", kind="action", reason="spool_full")
    assert host.start().get("/call/a").status_code == 201
    assert metric("opsledger_lost_total", kind="action", reason="spool_full") == before + 1
    assert "record lost" in [event["event"] for event in events(caplog)]


def test_a_thread_that_cannot_start_does_not_change_the_answer(
    open_host: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process out of threads still answers, and its records are on disk."""
    host = open_host()
    client = host.start()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert client.get("/call/a").status_code == 201
    assert host.one().provider_name == "hubspot"


def test_a_context_that_cannot_be_told_leaves_the_record(
    open_host: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Kept without it, and logged."""
    from app.capture import hooks

    def fail(*_: object) -> str:
        raise LookupError("no address")

    host = open_host()
    monkeypatch.setattr(hooks, "_client_ip", fail)
    assert host.start().get("/call/a").status_code == 201
    assert host.one().metadata == {}
    event = "request context not known, records kept without it"
    assert event in [line["event"] for line in events(caplog)]

"""The hooks in a host application: what a record learns from its request, and when it is kept."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import flask
import pytest
from uuid_utils.compat import uuid7

from app import AuditService, log_action
from app.capture import ActionLogger
from app.capture.recorder import PENDING_MAX
from app.domain.records import ActionRecord, AuditRecord
from tests.support.host import CALL, CHANGE, Host
from tests.support.samples import TENANT, events

Open = Callable[..., Host]


def test_a_records_metadata_tells_the_request(open_host: Open) -> None:
    """Id, method, route (not the path), HTTP status and caller."""
    host = open_host()
    answer = host.start().post("/call/ann", headers={"X-Request-ID": "req-1"})
    assert (answer.status_code, answer.text) == (201, "ann")
    shown = host.one().metadata["http"]
    assert shown.pop("duration_ms") >= 0
    assert shown == {
        "request_id": "req-1",
        "method": "POST",
        "route": "/call/<name>",
        "status": 201,
        "ip_address": "127.0.0.1",
    }


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "<script>"])
def test_a_request_id_that_is_not_sane_is_replaced(open_host: Open, given: str) -> None:
    """By a new one, the same for all records of the request."""
    host = open_host()

    @host.app.get("/both")
    def both() -> str:
        log_action(tenant_id=TENANT, **CALL)
        log_action(tenant_id=TENANT, **CALL)
        return ""

    host.start().get("/both", headers={"X-Request-ID": given})
    first, second = (record.metadata["http"]["request_id"] for record in host.kept())
    assert first == second != given
    assert len(first) == 32


@pytest.mark.parametrize("propagate", [False, True])
def test_what_a_request_captured_is_kept_when_its_view_raises(
    open_host: Open, propagate: bool
) -> None:
    """As a 500, or without a status where the server above makes the answer."""
    host = open_host()
    host.app.config["PROPAGATE_EXCEPTIONS"] = propagate

    @host.app.get("/raise")
    def fail() -> str:
        log_action(tenant_id=TENANT, **CALL)
        raise LookupError("boom")

    client = host.start()
    if propagate:
        with pytest.raises(LookupError, match="boom"):
            client.get("/raise")
    else:
        assert client.get("/raise").status_code == 500
    http = host.one().metadata["http"]
    assert (http["route"], http["status"]) == ("/raise", None if propagate else 500)


def test_a_failing_provider_call_is_kept_and_its_exception_raised(open_host: Open) -> None:
    """ActionLogger in a view: the host's error handler sees the very exception."""
    host = open_host()

    @host.app.get("/raise")
    def fail() -> str:
        with ActionLogger(TENANT, "crm_get", "hubspot"):
            raise LookupError("boom")

    @host.app.errorhandler(LookupError)
    def answer(error: LookupError) -> tuple[str, int]:
        return str(error), 418

    answered = host.start().get("/raise")
    assert (answered.status_code, answered.text) == (418, "boom")
    record = host.one()
    assert (record.status, record.error_message) == ("failure", "boom")
    assert record.metadata["http"]["status"] == 418


def test_each_request_keeps_its_own(open_host: Open) -> None:
    """Two at once in one process do not mix."""
    host = open_host()
    client, barrier = host.start(), threading.Barrier(2, timeout=10)

    @host.app.before_request
    def meet() -> None:
        barrier.wait()

    threads = [
        threading.Thread(
            target=host.app.test_client().get,
            args=(f"/call/{name}",),
            kwargs={"headers": {"X-Request-ID": name}},
        )
        for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client is not None
    assert sorted(record.metadata["http"]["request_id"] for record in host.kept()) == ["a", "b"]


def test_a_request_that_captures_nothing_writes_nothing(open_host: Open) -> None:
    """Not even for an unknown path."""
    host = open_host()
    assert host.start().get("/nothing").status_code == 404
    assert host.kept() == []


def test_a_record_of_a_request_without_a_route_tells_its_path(open_host: Open) -> None:
    """Cleaned: a NUL in the path must not cost the record."""
    host = open_host()

    @host.app.errorhandler(404)
    def missing(_: Exception) -> tuple[str, int]:
        log_action(tenant_id=TENANT, **CALL)
        return "", 404

    host.start().get("/no%00where")
    http = host.one().metadata["http"]
    assert (http["route"], http["status"]) == ("/no\ufffdwhere", 404)


def test_what_is_captured_after_the_answer_is_kept_too(open_host: Open) -> None:
    """By other after_request and teardown functions."""
    host = open_host()

    @host.app.after_request
    def later(response: flask.Response) -> flask.Response:
        log_action(tenant_id=TENANT, **{**CALL, "action_type": "crm_list"})
        return response

    @host.app.teardown_request
    def last(_: BaseException | None) -> None:
        log_action(tenant_id=TENANT, **{**CALL, "action_type": "crm_search"})

    host.start().get("/change")
    types = [record.action_type for record in host.kept() if isinstance(record, ActionRecord)]
    assert types == ["crm_list", "crm_search"]


def test_what_is_captured_while_a_response_streams_is_kept(open_host: Open) -> None:
    """Long after the hooks ran."""
    host = open_host()

    @host.app.get("/stream")
    def stream() -> flask.Response:
        def parts() -> Iterator[str]:
            log_action(tenant_id=TENANT, **CALL)
            yield "a"
            log_action(tenant_id=TENANT, **CALL)

        return flask.Response(flask.stream_with_context(parts()))

    assert host.start().get("/stream").text == "a"
    assert len(host.kept()) == 2


def test_what_is_captured_before_the_hook_ran_is_kept_too(open_host: Open) -> None:
    """A host's own before_request may answer first, as an authentication does."""
    host = open_host()

    @host.app.before_request
    def refuse() -> tuple[str, int]:
        log_action(tenant_id=TENANT, **CALL)
        return "", 401

    assert host.start().get("/call/a").status_code == 401
    assert host.one().provider_name == "hubspot"


def test_outside_of_a_request_a_record_is_kept_at_once(open_host: Open) -> None:
    """In a script with the app's context, or with none: without an http part."""
    host = open_host()
    host.start()
    with host.app.app_context():
        log_action(tenant_id=TENANT, **CALL)
    log_action(tenant_id=TENANT, **CALL)
    assert [record.metadata for record in host.kept()] == [{}, {}]


def test_the_requests_tenant_is_taken_where_none_is_given(open_host: Open) -> None:
    """For actions and audits; one that is given wins."""
    mine = uuid7()
    host = open_host(tenant_id=lambda: mine)

    @host.app.get("/mine")
    def views() -> str:
        log_action(**CALL)
        AuditService().log_create(data={}, **CHANGE)
        with ActionLogger(None, "crm_get", "hubspot"):
            pass
        return ""

    client = host.start()
    client.get("/mine")
    client.get("/call/a")
    assert [record.tenant_id for record in host.kept()] == [mine, mine, mine, TENANT]


def test_an_audit_tells_user_address_and_agent_of_the_request(open_host: Open) -> None:
    """As the host application and the caller's headers say."""
    host = open_host(user_id=lambda: "ann@example.com")
    host.start().get("/change", headers={"User-Agent": "curl/8"})
    record = host.one()
    assert isinstance(record, AuditRecord)
    assert record.user_id == "ann@example.com"
    assert (record.ip_address, record.user_agent) == ("127.0.0.1", "curl/8")
    assert record.metadata["changed_fields"] == ["a"]


def test_what_the_caller_says_of_an_audit_wins(open_host: Open) -> None:
    """A system acts for a user whose request it is not."""
    host = open_host(user_id=lambda: "ann")

    @host.app.get("/for-bob")
    def for_bob() -> str:
        given = {"user_id": "bob", "ip_address": "192.0.2.9", "user_agent": "cron"}
        AuditService().log_delete(tenant_id=TENANT, data={}, **given, **CHANGE)
        return ""

    host.start().get("/for-bob")
    record = host.one()
    assert (record.user_id, record.ip_address, record.user_agent) == ("bob", "192.0.2.9", "cron")


def test_a_users_number_is_kept_as_text(open_host: Open) -> None:
    """Hosts have integer keys; the column and the filters are text. Over-long ones are cut."""
    numbers = iter([7, "x" * 300])
    host = open_host(user_id=lambda: next(numbers))
    client = host.start()
    client.get("/change")
    client.get("/change")
    assert [getattr(record, "user_id", None) for record in host.kept()] == ["7", "x" * 255]


def fail() -> Any:
    """What a host's callable does for a request without a user."""
    raise AttributeError("g.user")


def test_a_host_that_cannot_tell_the_user_loses_nothing_else(
    open_host: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """The record has all but the user; the error is logged."""
    host = open_host(user_id=fail, tenant_id=fail)
    assert host.start().get("/change").status_code == 200
    record = host.one()
    assert record.user_id is None
    assert record.ip_address == "127.0.0.1"
    assert record.metadata["http"]["route"] == "/change"
    assert "AttributeError" in str(events(caplog))


def test_a_host_that_cannot_tell_the_tenant_gets_a_refusal_by_name(open_host: Open) -> None:
    """As if it had told none: InvalidRecord is all that capture ever raises."""
    host = open_host(tenant_id=fail)

    @host.app.get("/mine")
    def mine() -> str:
        try:
            log_action(**CALL)
        except ValueError as error:
            return str(error)
        return ""

    assert host.start().get("/mine").text.startswith("tenant_id: ")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        (0, None, "10.0.0.1"),
        (0, "192.0.2.1", "10.0.0.1"),
        (1, None, "10.0.0.1"),
        (1, "192.0.2.1", "192.0.2.1"),
        (1, "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        (1, "6.6.6.6,7.7.7.7 ,  192.0.2.1 ", "192.0.2.1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "", "10.0.0.1"),
        (1, "6.6.6.6,", "10.0.0.1"),
        (2, "192.0.2.1, 10.0.0.2", "192.0.2.1"),
        (2, "6.6.6.6, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        (2, "6.6.6.6, 7.7.7.7, 8.8.8.8, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        (2, "6.6.6.6", "10.0.0.1"),
    ],
)
def test_the_callers_address_is_what_our_outermost_proxy_saw(
    open_host: Open, trusted: int, forwarded: str | None, address: str
) -> None:
    """What callers put in front of it, however long, is never believed."""
    host = open_host({"trusted_proxies": trusted})
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    host.start().get("/change", headers=headers, environ_base={"REMOTE_ADDR": "10.0.0.1"})
    record = host.one()
    assert record.ip_address == address
    assert record.metadata["http"]["ip_address"] == address


def test_a_caller_without_an_address_is_kept_without_one(open_host: Open) -> None:
    """As behind a socket of the host itself."""
    host = open_host()
    host.start().get("/change", environ_base={"REMOTE_ADDR": None})
    assert host.one().ip_address is None


def test_a_payload_changed_after_log_action_does_not_change_the_record(open_host: Open) -> None:
    """Though the record waits for the end of the request."""
    host = open_host()

    @host.app.get("/mutate")
    def mutate() -> str:
        payload = {"items": [1]}
        log_action(tenant_id=TENANT, request_payload=payload, **CALL)
        payload["items"].append(2)
        payload.clear()
        return ""

    host.start().get("/mutate")
    assert host.one().request_payload == {"items": [1]}


def test_two_apps_in_one_process_keep_to_themselves(open_host: Open, tmp_path: Path) -> None:
    """Each request to its own app's tenant and recorder."""
    first_tenant, second_tenant = uuid7(), uuid7()
    hosts: list[tuple[Host, UUID]] = []
    for name, tenant in (("one", first_tenant), ("two", second_tenant)):
        host = Host(tmp_path / name, {}, {"tenant_id": lambda tenant=tenant: tenant})

        @host.app.get("/")
        def view() -> str:
            log_action(**CALL)
            return ""

        hosts.append((host, tenant))
    clients = [host.start() for host, _ in hosts]
    for client in clients:
        client.get("/")
    for host, tenant in hosts:
        assert host.one().tenant_id == tenant


def test_a_request_holds_a_bounded_number_of_records(open_host: Open) -> None:
    """The next one goes to disk at once, and none is lost."""
    host = open_host()

    @host.app.get("/many")
    def many() -> str:
        for _ in range(PENDING_MAX + 1):
            log_action(tenant_id=TENANT, **CALL)
        return str(host.opsledger.recorder.spool.status().bytes > 0)

    assert host.start().get("/many").text == "True"
    kept = host.kept()
    assert len(kept) == PENDING_MAX + 1
    assert sum("http" not in record.metadata for record in kept) == 1

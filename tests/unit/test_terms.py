"""The terms of one record: waiting for Postgres, and what to do when there is no room."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import ActionLogger, AuditService, log_action
from app.capture import recorder as module
from app.capture.recorder import Recorder, set_process_recorder
from app.domain.records import Kind, Record
from app.errors import (
    InvalidRecord,
    NotYetCommitted,
    RecordRefused,
    SpoolFull,
    StoreUnavailable,
)
from app.spool import Spool
from tests.support.forks import file_size_limit
from tests.support.host import CALL, CHANGE, Host
from tests.support.samples import (
    TENANT,
    action_values,
    audit_values,
    events,
    metric,
    open_spool,
    recover_records,
)

ROOMLESS = {"bytes_max": 1, "reserve_bytes": 1}


class Waiter:
    """What a shipper does for those who wait: it confirms, or lets the time pass."""

    def __init__(self, spool: Spool, *, confirms: bool = True) -> None:
        self.spool = spool
        self.confirms = confirms
        self.timeouts: list[float | None] = []

    def __call__(self, receipt: threading.Event, timeout_s: float | None) -> bool:
        self.timeouts.append(timeout_s)
        while self.confirms and (shipment := self.spool.take(100)) is not None:
            self.spool.forget(shipment.id)
        return receipt.is_set()


Open = Callable[..., tuple[Recorder, Waiter]]


@pytest.fixture
def open_recorder(tmp_path: Path) -> Iterator[Open]:
    """Makes recorders whose records are confirmed when somebody waits for them."""
    spools: list[Spool] = []

    def make(*, confirms: bool = True, **bounds: int) -> tuple[Recorder, Waiter]:
        spool = open_spool(tmp_path, **bounds)
        spools.append(spool)
        waiter = Waiter(spool, confirms=confirms)
        return (
            Recorder(
                spool,
                payload_bytes_max=65536,
                notify=lambda: None,
                learn=lambda: None,
                wait=waiter,
            ),
            waiter,
        )

    yield make
    for spool in spools:
        spool.close()


def lost(kind: Kind, reason: str) -> float:
    """How many records were counted as lost."""
    return metric("opsledger_lost_total", kind=kind.value, reason=reason)


def test_waiting_returns_when_the_record_is_confirmed(open_recorder: Open) -> None:
    """With its id; the time is the caller's, or else the setting's."""
    recorder, waiter = open_recorder()
    recorder.record_action(action_values(), wait=True)
    recorder.record_audit(audit_values(), wait=True, timeout_s=0.5)
    assert waiter.timeouts == [None, 0.5]
    assert not recorder.spool.pending


def test_waiting_in_vain_raises_and_keeps_the_record(open_recorder: Open) -> None:
    """The exception names it, so that the caller can look for it later."""
    recorder, _ = open_recorder(confirms=False)
    before = lost(Kind.ACTION, "append_failed")
    with pytest.raises(NotYetCommitted, match="will be") as raised:
        recorder.record_action(action_values(), wait=True)
    recorder.spool.close()
    (record,) = recover_records(recorder.spool.folder)
    assert raised.value.record_id == record.id
    assert isinstance(raised.value, TimeoutError)
    assert lost(Kind.ACTION, "append_failed") == before


def test_a_receipt_is_not_all_that_who_waits_is_told_by(tmp_path: Path) -> None:
    """A record may be refused though its shipment was received; or nobody may say at the moment."""
    answers: list[bool | Exception] = [True, False, StoreUnavailable()]

    def is_stored(_: Record) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    spool = open_spool(tmp_path)
    recorder = Recorder(
        spool,
        payload_bytes_max=65536,
        notify=lambda: None,
        learn=lambda: None,
        wait=Waiter(spool),
        is_stored=is_stored,
    )
    recorder.record_action(action_values(), wait=True)
    with pytest.raises(RecordRefused, match="dead letter"):
        recorder.record_action(action_values(), wait=True)
    with pytest.raises(NotYetCommitted):
        recorder.record_action(action_values(), wait=True)
    spool.close()


def test_without_terms_nobody_waits(open_recorder: Open) -> None:
    """Nor with those that are the usual ones anyway."""
    recorder, waiter = open_recorder()
    recorder.record_action(action_values())
    recorder.record_action(action_values(), wait=False, on_full="shed")
    assert waiter.timeouts == []


@pytest.mark.parametrize("terms", [{"wait": True}, {"on_full": "raise"}])
def test_a_full_spool_is_an_error_for_who_asks_for_it(
    open_recorder: Open, terms: dict[str, Any]
) -> None:
    """And counted all the same; who waits for a commit must never be told of one."""
    recorder, waiter = open_recorder(**ROOMLESS)
    before = lost(Kind.AUDIT, "spool_full")
    with pytest.raises(SpoolFull):
        recorder.record_audit(audit_values(), **terms)
    assert lost(Kind.AUDIT, "spool_full") == before + 1
    assert waiter.timeouts == []


def test_a_full_disk_is_the_same_error(open_recorder: Open) -> None:
    """It is not for the caller to tell one bound from the other."""
    recorder, _ = open_recorder()
    before = lost(Kind.ACTION, "append_failed")
    with file_size_limit(60), pytest.raises(SpoolFull, match="disk"):
        recorder.record_action(action_values(), on_full="raise")
    assert lost(Kind.ACTION, "append_failed") == before + 1


def test_audits_on_terms_still_use_their_reserve(open_recorder: Open) -> None:
    """The error is for when even that is used up."""
    recorder, _ = open_recorder(bytes_max=1, reserve_bytes=100_000)
    recorder.record_audit(audit_values(), on_full="raise")
    with pytest.raises(SpoolFull):
        recorder.record_action(action_values(), on_full="raise")


def test_a_record_that_cannot_be_made_is_an_error_for_who_waits(open_recorder: Open) -> None:
    """Silence would say that it is committed."""

    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no")

    recorder, _ = open_recorder()
    with pytest.raises(RuntimeError, match="no"):
        recorder.record_action(action_values(tenant_id=Odd()), wait=True)
    with pytest.raises(InvalidRecord):
        recorder.record_action(action_values(status="done"), wait=True)


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ({"on_full": "explode"}, ValueError),
        ({"timeout_s": -1, "wait": True}, ValueError),
        ({"hurry": True}, TypeError),
    ],
)
def test_terms_that_do_not_exist_are_a_mistake_of_the_caller(
    open_recorder: Open, terms: dict[str, Any], error: type[Exception]
) -> None:
    """Told at the call, in development, and never swallowed."""
    recorder, _ = open_recorder()
    with pytest.raises(error):
        recorder.record_action(action_values(), **terms)


def test_a_service_has_terms_of_its_own_and_a_call_may_change_them(open_recorder: Open) -> None:
    """As a service for audits that must be there."""
    recorder, waiter = open_recorder()
    service = AuditService(recorder, wait=True, timeout_s=2.0)
    where: dict[str, Any] = {"tenant_id": TENANT, **CHANGE}
    service.log_create(data={"a": 1}, **where)
    service.log_update(before={"a": 1}, after={"a": 2}, timeout_s=1.0, **where)
    service.log_delete(data={"a": 2}, wait=False, **where)
    assert waiter.timeouts == [2.0, 1.0]


@pytest.fixture
def open_process_recorder(open_recorder: Open, monkeypatch: pytest.MonkeyPatch) -> Open:
    """The same, serving ActionLogger too."""
    monkeypatch.setattr(module, "_process_recorder", None)

    def make(**options: Any) -> tuple[Recorder, Waiter]:
        recorder, waiter = open_recorder(**options)
        set_process_recorder(recorder)
        return recorder, waiter

    return make


def test_a_block_on_terms_waits_at_its_end(open_process_recorder: Open) -> None:
    """Once the provider answered, since only then there is a record."""
    recorder, waiter = open_process_recorder()
    with ActionLogger(TENANT, "crm_get", "hubspot", wait=True, timeout_s=0.5) as action:
        assert waiter.timeouts == []
    assert waiter.timeouts == [0.5]
    assert action.record_id is not None
    assert not recorder.spool.pending


@pytest.mark.parametrize(
    ("options", "terms", "error"),
    [
        ({"confirms": False}, {"wait": True}, NotYetCommitted),
        (ROOMLESS, {"on_full": "raise"}, SpoolFull),
    ],
)
def test_terms_that_are_not_met_end_the_block_unless_it_ended_by_itself(
    open_process_recorder: Open,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    terms: dict[str, Any],
    error: type[Exception],
) -> None:
    """The provider's own exception matters more; then the log says what came of the record."""
    open_process_recorder(**options)
    with pytest.raises(error), ActionLogger(TENANT, "crm_get", "hubspot", **terms):
        pass
    with pytest.raises(KeyError), ActionLogger(TENANT, "crm_get", "hubspot", **terms):
        raise KeyError("id")
    said = [event for event in events(caplog) if "as asked" in event["event"]]
    assert [error.__name__ in event["exception"] for event in said] == [True]


def test_a_mistake_in_the_terms_is_told_before_the_provider_is_called(
    open_process_recorder: Open,
) -> None:
    """As with every other argument of the block."""
    open_process_recorder()
    for terms, error in (({"on_full": "explode"}, ValueError), ({"hurry": True}, TypeError)):
        wrong: dict[str, Any] = terms
        with pytest.raises(error), ActionLogger(TENANT, "crm_get", "hubspot", **wrong):
            pytest.fail("the provider was called")


def test_within_a_request_a_record_on_terms_is_kept_at_once(
    open_host: Callable[..., Host],
) -> None:
    """With what is known of the request so far; the status is not, and it is kept only once."""
    host = open_host()
    there: list[int] = []

    @host.app.get("/raise")
    def view() -> str:
        log_action(tenant_id=TENANT, **CALL)
        log_action(tenant_id=TENANT, on_full="raise", **CALL)
        AuditService(on_full="raise").log_create(tenant_id=TENANT, data={"a": 1}, **CHANGE)
        there.append(host.opsledger.recorder.spool.status().bytes)
        return ""

    host.start().get("/raise", headers={"X-Request-ID": "req-1", "User-Agent": "curl"})
    assert there[0] > 0
    first, second, last = host.kept()
    for record in (first, second):
        assert record.metadata["http"]["request_id"] == "req-1"
        assert record.metadata["http"]["status"] is None
        assert record.metadata["http"]["route"] == "/raise"
    assert second.user_agent == "curl"
    assert last.metadata["http"]["status"] == 200


def test_within_a_request_the_error_reaches_the_view(open_host: Callable[..., Host]) -> None:
    """Which may then refuse what it was asked, for want of a record."""
    host = open_host({"spool_bytes_max": 1, "spool_reserve_bytes": 0})
    raised: list[Exception] = []

    @host.app.get("/raise")
    def view() -> str:
        try:
            log_action(tenant_id=TENANT, on_full="raise", **CALL)
        except SpoolFull as error:
            raised.append(error)
        return ""

    assert host.start().get("/raise").status_code == 200
    assert len(raised) == 1


def test_without_a_worker_the_time_is_the_settings(open_host: Callable[..., Host]) -> None:
    """The record stays on disk and is shipped when somebody can."""
    host = open_host({"wait_timeout_s": 0.1})
    host.start()
    with host.app.app_context():
        started = time.monotonic()
        with pytest.raises(NotYetCommitted):
            log_action(tenant_id=TENANT, wait=True, **CALL)
    assert 0.1 <= time.monotonic() - started < 2.0
    assert len(host.kept()) == 1

"""log_action and ActionLogger outside of any request: as scripts and tasks use them."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from app.capture import ActionLogger, Recorder, log_action
from app.capture import recorder as module
from app.capture.recorder import current_recorder, set_process_recorder
from app.domain.records import ActionRecord, ActionStatus, Record
from app.errors import InvalidRecord, ProviderCode, ProviderError, ProviderTimeout
from tests.support.samples import TENANT, action_values, metric, open_spool, recover_records


class Kept:
    """What reached the disk."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def all(self) -> list[Record]:
        """Every record, in its order."""
        self.recorder.spool.close()
        return recover_records(self.recorder.spool.folder)

    def one(self) -> ActionRecord:
        """The only record."""
        (record,) = self.all()
        assert isinstance(record, ActionRecord)
        return record


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """A process whose recorder writes into a folder of this test."""
    monkeypatch.setattr(module, "_process_recorder", None)
    spool = open_spool(tmp_path)
    recorder = Recorder(spool, payload_bytes_max=65536, notify=lambda: None, learn=lambda: None)
    set_process_recorder(recorder)
    yield Kept(recorder)
    spool.close()


def logger(**values: object) -> ActionLogger:
    """An ActionLogger for a call to a CRM."""
    return ActionLogger(TENANT, "crm_get", "hubspot", **values)  # type: ignore[arg-type]


class ReadTimeout(Exception):
    """As HTTP libraries call it, without Python's own base."""


class ConnectTimeoutError(ReadTimeout):
    """A child of it."""


class Speechless(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def test_log_action_keeps_what_it_was_given(kept: Kept) -> None:
    """Every argument by its name, and the id that is returned."""
    values = action_values(
        error_message="e", operation_id="op", metadata={"attempt": 1}, status="retry"
    )
    record_id = log_action(**values)
    record = kept.one()
    assert record.id == record_id
    assert {name: getattr(record, name) for name in values} == values


def test_log_action_without_a_tenant_is_refused_by_name(kept: Kept) -> None:
    """Outside of a request nobody else can tell it."""
    with pytest.raises(InvalidRecord, match="tenant_id: must be a UUID"):
        log_action(action_type="crm_get", provider_name="x", status="success", execution_time_ms=1)
    assert kept.all() == []


def test_a_call_that_returns_is_a_success(kept: Kept) -> None:
    """With request, response, operation and metadata."""
    with logger(request_payload={"id": 7}, operation_id="op", metadata={"a": 1}) as call:
        call.response_data = {"name": "Ann"}
    record = kept.one()
    assert call.record_id == record.id
    assert record.status is ActionStatus.SUCCESS
    assert (record.request_payload, record.response_data) == ({"id": 7}, {"name": "Ann"})
    assert (record.operation_id, record.metadata, record.error_message) == ("op", {"a": 1}, None)


def test_the_time_of_the_block_is_measured(kept: Kept) -> None:
    """In milliseconds."""
    started = time.perf_counter()
    with logger():
        time.sleep(0.03)
    elapsed_ms = (time.perf_counter() - started) * 1000
    assert 30 <= kept.one().execution_time_ms <= elapsed_ms + 1


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("no such contact"), "failure", "no such contact"),
        (ProviderError("quota", code=ProviderCode.RATE_LIMITED), "failure", "quota"),
        (KeyError("id"), "failure", "'id'"),
        (ValueError(), "failure", "ValueError"),
        (KeyboardInterrupt(), "failure", "KeyboardInterrupt"),
        (TimeoutError("too slow"), "timeout", "too slow"),
        (ProviderTimeout(), "timeout", "The provider did not answer in time."),
        (ReadTimeout("read"), "timeout", "read"),
        (ConnectTimeoutError(), "timeout", "ConnectTimeoutError"),
        (Speechless(), "failure", "Speechless"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_call_that_raises_is_on_record_and_raises_on(
    kept: Kept, error: BaseException, status: str, message: str
) -> None:
    """The very exception, with a record of what it was."""
    with pytest.raises(type(error)) as raised, logger(request_payload={"id": 7}):
        raise error
    assert raised.value is error
    record = kept.one()
    assert (record.status, record.error_message) == (status, message)
    assert record.request_payload == {"id": 7}


def test_what_the_block_says_of_itself_is_kept(kept: Kept) -> None:
    """A provider may answer with a failure instead of raising one."""
    with logger() as call:
        call.status, call.error_message = "PENDING", "queued"
    record = kept.one()
    assert (record.status, record.error_message) == (ActionStatus.PENDING, "queued")


def test_a_bad_value_never_hides_the_providers_exception(kept: Kept) -> None:
    """The record is refused and counted; the caller handles what really happened."""

    def call_provider() -> None:
        with logger() as call:
            call.metadata = ["no object"]  # type: ignore[assignment]
            raise ProviderError("quota", code=ProviderCode.RATE_LIMITED)

    before = metric("opsledger_lost_total", kind="action", reason="invalid")
    with pytest.raises(ProviderError, match="quota"):
        call_provider()
    assert metric("opsledger_lost_total", kind="action", reason="invalid") == before + 1
    assert kept.all() == []


def test_a_bad_value_set_in_the_block_is_told(kept: Kept) -> None:
    """As log_action does."""
    with pytest.raises(InvalidRecord, match="status"), logger() as call:
        call.status = "done"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("no tenant", "crm_get", "hubspot"), "tenant_id"),
        ((None, "crm_get", "hubspot"), "tenant_id"),
        ((TENANT, "crm_destroy!", "hubspot"), "action_type"),
        ((TENANT, "crm_get", ""), "provider_name"),
    ],
)
def test_a_bad_argument_is_refused_before_the_provider_is_called(
    kept: Kept, arguments: tuple[Any, str, str], field: str
) -> None:
    """An operation that could not be put on record is not carried out."""
    with pytest.raises(InvalidRecord) as refusal, ActionLogger(*arguments):
        pytest.fail("the provider was called")
    assert refusal.value.field == field
    assert kept.all() == []


def test_metadata_may_be_any_mapping(kept: Kept) -> None:
    """Cleaning makes an object of it."""
    with logger(metadata=MappingProxyType({"a": 1})):
        pass
    assert kept.one().metadata == {"a": 1}


def test_without_opsledger_the_sentence_says_what_to_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A forgotten init_app is a mistake of the developer, found at the first call."""
    monkeypatch.setattr(module, "_process_recorder", None)
    with pytest.raises(RuntimeError, match="init_app"):
        current_recorder()

"""The recorder: what capture does with good values, bad values, and a spool that refuses."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.capture.recorder import Recorder
from app.config import RECORD_BYTES_MAX
from app.domain.codec import decode, dump_json
from app.domain.context import RequestContext
from app.domain.identity import is_record_id
from app.domain.records import ActionRecord, AuditRecord, Kind
from app.errors import InvalidRecord, StoreUnavailable
from app.spool import Spool
from tests.support.forks import file_size_limit
from tests.support.samples import (
    action,
    action_values,
    audit,
    audit_values,
    events,
    metric,
    open_spool,
    recover,
    recover_records,
)


class Unreadable(Mapping[str, Any]):
    """A mapping that raises when it is looked into."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Ticker:
    """Counts how often it was called, and may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error

    def __call__(self) -> None:
        self.calls += 1
        if self.error:
            raise self.error


Open = Callable[..., Recorder]


@pytest.fixture
def open_recorder(tmp_path: Path) -> Iterator[Open]:
    """Makes recorders on a folder of this test."""
    spools: list[Spool] = []

    def make(
        notify: Callable[[], None] = lambda: None,
        learn: Callable[[], None] = lambda: None,
        payload_bytes_max: int = 65536,
        **bounds: int,
    ) -> Recorder:
        spool = open_spool(tmp_path, **bounds)
        spools.append(spool)
        return Recorder(spool, payload_bytes_max=payload_bytes_max, notify=notify, learn=learn)

    yield make
    for spool in spools:
        spool.close()


def kept(recorder: Recorder) -> list[Any]:
    """The records on disk, as the next process finds them."""
    recorder.spool.close()
    return recover_records(recorder.spool.folder)


def lost(kind: Kind, reason: str) -> float:
    """How many records were counted as lost."""
    return metric("opsledger_lost_total", kind=kind.value, reason=reason)


def test_an_action_is_on_disk_when_recording_returns(open_recorder: Open) -> None:
    """With the id it returned; counted, and the shipper is told."""
    notify = Ticker()
    recorder = open_recorder(notify)
    before = metric("opsledger_captured_total", kind="action")
    record_id = recorder.record_action(action_values())
    assert is_record_id(record_id)
    assert kept(recorder) == [action(id=record_id)]
    assert notify.calls == 1
    assert metric("opsledger_captured_total", kind="action") == before + 1


def test_an_audit_is_on_disk_when_recording_returns(open_recorder: Open) -> None:
    """The other kind goes the same way."""
    recorder = open_recorder()
    record_id = recorder.record_audit(audit_values())
    assert kept(recorder) == [audit(id=record_id)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant_id", None),
        ("action_type", "crm_destroy!"),
        ("provider_name", ""),
        ("status", "done"),
        ("execution_time_ms", -1),
        ("operation_id", ""),
        ("metadata", [1]),
        ("metadata", [{"password": "x"}]),
        ("metadata", "nul\x00"),
    ],
)
def test_an_invalid_action_is_refused_counted_and_logged(
    open_recorder: Open, caplog: pytest.LogCaptureFixture, field: str, value: Any
) -> None:
    """The exception names the field; nothing reaches the disk."""
    recorder = open_recorder()
    before = lost(Kind.ACTION, "invalid")
    with pytest.raises(InvalidRecord) as refusal:
        recorder.record_action(action_values(**{field: value}))
    assert refusal.value.field == field
    assert lost(Kind.ACTION, "invalid") == before + 1
    (event,) = events(caplog)
    assert (event["event"], event["reason"], event["level"]) == ("record lost", "invalid", "error")
    assert field in event["error"]
    assert kept(recorder) == []


def test_an_invalid_audit_is_refused_counted_and_logged(open_recorder: Open) -> None:
    """By its own field."""
    recorder = open_recorder()
    before = lost(Kind.AUDIT, "invalid")
    with pytest.raises(InvalidRecord, match="resource_id"):
        recorder.record_audit(audit_values(resource_id=None))
    assert lost(Kind.AUDIT, "invalid") == before + 1


def test_secrets_are_masked_before_they_reach_the_disk(open_recorder: Open) -> None:
    """In every JSON field of both kinds, and the record says where."""
    recorder = open_recorder()
    secret = {"deep": [{"Api-Key": "hunter2"}]}
    recorder.record_action(
        action_values(request_payload=secret, response_data=secret, metadata={"token": "hunter2"})
    )
    recorder.record_audit(audit_values(changes={"after": secret}, metadata=secret))
    recorder.spool.close()
    for path in recorder.spool.folder.iterdir():
        assert b"hunter2" not in path.read_bytes()
    made, changed = recover_records(recorder.spool.folder)
    assert made.metadata["cleaned"] == {
        "redacted": [
            *("request_payload.deep[0].Api-Key", "response_data.deep[0].Api-Key"),
            "metadata.token",
        ]
    }
    assert changed.metadata["cleaned"]["redacted"] == [
        *("changes.after.deep[0].Api-Key", "metadata.deep[0].Api-Key"),
    ]


def test_a_large_payload_is_cut_with_mark_size_and_hash(open_recorder: Open) -> None:
    """The others of the record stay whole."""
    recorder = open_recorder(payload_bytes_max=100)
    recorder.record_action(action_values(request_payload={"a": "x" * 1000}, response_data={"b": 1}))
    (record,) = kept(recorder)
    assert record.request_payload["truncated"] is True
    assert record.request_payload["size_bytes"] == len('{"a":""}') + 1000
    assert len(record.request_payload["sha256"]) == 64
    assert record.request_payload["preview"].startswith('{"a":"xxx')
    assert record.response_data == {"b": 1}
    assert record.metadata == {"cleaned": {"truncated": ["request_payload"]}}


def test_large_metadata_is_cut_too(open_recorder: Open) -> None:
    """And stays an object that can hold the notes."""
    recorder = open_recorder(payload_bytes_max=100)
    recorder.record_action(action_values(metadata={"a": "x" * 1000}))
    (record,) = kept(recorder)
    assert record.metadata["truncated"] is True
    assert record.metadata["cleaned"] == {"truncated": ["metadata"]}


def test_a_payload_that_cannot_be_read_is_marked_and_the_rest_kept(open_recorder: Open) -> None:
    """The operation happened, whatever its payload is."""
    recorder = open_recorder()
    recorder.record_action(action_values(request_payload=Unreadable()))
    (record,) = kept(recorder)
    assert record.request_payload == {"unreadable": "RuntimeError"}
    assert record.metadata == {"cleaned": {"unreadable": ["request_payload"]}}
    assert record.provider_name == "hubspot"


def test_a_payload_changed_afterwards_does_not_change_the_record(open_recorder: Open) -> None:
    """The record is what was true when it was made."""
    recorder = open_recorder()
    payload: dict[str, Any] = {"items": [1], "inner": {"a": 1}}
    record_id = recorder.record_action(action_values(request_payload=payload))
    payload["items"].append(2)
    payload["inner"]["a"] = 2
    assert kept(recorder) == [
        action(id=record_id, request_payload={"items": [1], "inner": {"a": 1}})
    ]


def test_any_other_failure_of_capture_is_counted_and_not_raised(
    open_recorder: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller's request goes on."""

    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no")

    recorder = open_recorder()
    before = lost(Kind.ACTION, "capture_failed")
    record_id = recorder.record_action(action_values(tenant_id=Odd()))
    assert lost(Kind.ACTION, "capture_failed") == before + 1
    (event,) = events(caplog)
    assert (event["record"], event["reason"]) == (str(record_id), "capture_failed")
    assert kept(recorder) == []


def test_a_full_spool_sheds_actions_and_still_takes_audits(
    open_recorder: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """What is shed is counted and logged; nobody gets an exception."""
    recorder = open_recorder(bytes_max=1000, reserve_bytes=2000)
    before = lost(Kind.ACTION, "spool_full")
    actions = [recorder.record_action(action_values()) for _ in range(10)]
    audits = [recorder.record_audit(audit_values()) for _ in range(3)]
    records = kept(recorder)
    kept_actions = [r.id for r in records if isinstance(r, ActionRecord)]
    assert 0 < len(kept_actions) < 10
    assert kept_actions == actions[: len(kept_actions)]
    assert [r.id for r in records if isinstance(r, AuditRecord)] == audits
    shed = 10 - len(kept_actions)
    assert lost(Kind.ACTION, "spool_full") == before + shed
    assert [event["reason"] for event in events(caplog)] == ["spool_full"] * shed
    assert {event["record"] for event in events(caplog)} == {str(i) for i in actions[-shed:]}


def test_when_even_the_reserve_is_full_audits_are_counted_as_lost(open_recorder: Open) -> None:
    """Without an exception."""
    recorder = open_recorder(bytes_max=1, reserve_bytes=1)
    before = lost(Kind.AUDIT, "spool_full")
    recorder.record_audit(audit_values())
    assert lost(Kind.AUDIT, "spool_full") == before + 1
    assert kept(recorder) == []


def test_a_full_disk_is_counted_and_not_raised(
    open_recorder: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """And what was kept before and after it is whole."""
    recorder = open_recorder()
    before = lost(Kind.ACTION, "append_failed")
    first = recorder.record_action(action_values())
    with file_size_limit(600):
        recorder.record_action(action_values(response_data="x" * 1000))
    last = recorder.record_action(action_values())
    assert lost(Kind.ACTION, "append_failed") == before + 1
    assert [event["reason"] for event in events(caplog)] == ["append_failed"]
    assert [record.id for record in kept(recorder)] == [first, last]


def test_a_shipper_that_cannot_be_told_breaks_nothing(
    open_recorder: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """The record is on disk and not counted as lost; the error is logged."""
    recorder = open_recorder(Ticker(RuntimeError("can't start new thread")))
    before = lost(Kind.ACTION, "capture_failed")
    record_id = recorder.record_action(action_values())
    recorder.keep([action()])
    assert lost(Kind.ACTION, "capture_failed") == before
    assert [event["event"] for event in events(caplog)] == ["shipper not told, records wait"] * 2
    assert kept(recorder)[0].id == record_id


def test_one_record_that_cannot_be_kept_does_not_take_its_neighbours(open_recorder: Open) -> None:
    """Of a request's records, each stands for itself."""
    recorder = open_recorder(bytes_max=1000, reserve_bytes=10_000)
    first, large, last = audit(), action(response_data="x" * 2000), audit()
    recorder.keep([first, large, last])
    assert kept(recorder) == [first, last]


def test_records_kept_with_a_context_are_completed_by_it(open_recorder: Open) -> None:
    """As the hooks do at the end of a request."""
    recorder = open_recorder()
    context = RequestContext(
        request_id="r", method="GET", route="/", ip_address="::1", user_agent=None, http_status=200
    )
    recorder.keep([action()], context)
    (record,) = kept(recorder)
    assert record.metadata["http"]["request_id"] == "r"


def test_built_in_types_need_no_database(open_recorder: Open) -> None:
    """The common case asks nobody."""
    learn = Ticker()
    recorder = open_recorder(learn=learn)
    recorder.record_action(action_values())
    assert learn.calls == 0


def test_an_added_type_is_learned_once(open_recorder: Open) -> None:
    """From then on the platform's types decide."""
    recorder: Recorder

    def learn() -> None:
        recorder.action_types = frozenset({"crm_create", "billing_charge"})

    recorder = open_recorder(learn=learn)
    recorder.record_action(action_values(action_type="billing_charge"))
    with pytest.raises(InvalidRecord, match=r"action_type: .*billing_charge"):
        recorder.record_action(action_values(action_type="billing_refund"))
    assert [record.action_type for record in kept(recorder)] == ["billing_charge"]


def test_while_the_database_is_away_a_well_formed_type_is_kept(open_recorder: Open) -> None:
    """The database will judge it; refusing it here could lose a record."""
    recorder = open_recorder(learn=Ticker(StoreUnavailable()))
    recorder.record_action(action_values(action_type="billing_charge"))
    for bad in ("Billing", "billing", "x" * 10, "billing__charge", None, 7):
        with pytest.raises(InvalidRecord, match="action_type"):
            recorder.record_action(action_values(action_type=bad))
    assert len(kept(recorder)) == 1


def test_while_the_database_is_away_it_is_asked_only_once(
    open_recorder: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Each try may wait for a connection; requests must not, the shipper asks on."""
    learn = Ticker(StoreUnavailable())
    recorder = open_recorder(learn=learn)
    for _ in range(3):
        recorder.record_action(action_values(action_type="billing_charge"))
    assert learn.calls == 1
    assert [event["event"] for event in events(caplog)] == ["action types not known yet"]
    assert len(kept(recorder)) == 3


def test_a_batch_that_is_accepted_is_on_disk(open_recorder: Open) -> None:
    """Counted, and the shipper is told once."""
    notify = Ticker()
    recorder = open_recorder(notify)
    before = metric("opsledger_captured_total", kind="audit")
    batch = [action(), audit(), action()]
    assert recorder.keep_accepted(batch) == {}
    assert notify.calls == 1
    assert metric("opsledger_captured_total", kind="audit") == before + 1
    assert kept(recorder) == batch


def test_what_a_batch_could_not_keep_is_told_counted_and_logged_once(
    open_recorder: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """By id and reason; its neighbours are kept."""
    recorder = open_recorder(bytes_max=1000, reserve_bytes=10_000)
    before = lost(Kind.ACTION, "spool_full")
    large = [action(response_data="x" * 2000) for _ in range(3)]
    batch = [audit(), *large, audit()]
    assert recorder.keep_accepted(batch) == {record.id: "spool_full" for record in large}
    assert lost(Kind.ACTION, "spool_full") == before + 3
    (event,) = events(caplog)
    assert (event["event"], event["records"]) == ("records not accepted", 3)
    assert kept(recorder) == [batch[0], batch[-1]]


def test_a_batch_that_the_disk_refuses_is_told(open_recorder: Open) -> None:
    """A full disk is another reason than a full spool."""
    recorder = open_recorder()
    small, large = action(), action(response_data="x" * 1000)
    with file_size_limit(600):
        assert recorder.keep_accepted([small, large]) == {large.id: "append_failed"}
    assert kept(recorder) == [small]


def test_a_made_record_is_cleaned_and_judged_but_not_kept(open_recorder: Open) -> None:
    """As recording does it."""
    recorder = open_recorder()
    values = {**action_values(request_payload={"password": "x"}), "id": action().id}
    record = recorder.make(Kind.ACTION, values)
    assert record.metadata["cleaned"] == {"redacted": ["request_payload.password"]}
    with pytest.raises(InvalidRecord, match="provider_name"):
        recorder.make(Kind.ACTION, {**values, "provider_name": ""})
    assert kept(recorder) == []


@pytest.mark.parametrize("letter", ["x", "\\", "\n", '"', "ž", "🐎"])
def test_a_record_that_is_too_large_as_a_whole_loses_its_largest_fields(
    open_recorder: Open, letter: str
) -> None:
    """With marks, sizes and hashes; who, what and where it came from stay."""
    recorder = open_recorder(payload_bytes_max=1 << 20, bytes_max=1 << 26)
    large = {"text": letter * 60_000}
    recorder.record_action(
        action_values(
            request_payload={"a": large, "b": large, "c": large},
            response_data={"id": 7},
            error_message=letter * 20_000,
            metadata={"notes": [large, large], "cleaned": {"x": ["y"]}},
        )
    )
    recorder.spool.close()
    (line,) = recover(recorder.spool.folder)
    assert len(line) <= RECORD_BYTES_MAX
    record = decode(line)
    assert isinstance(record, ActionRecord)
    whole = dump_json({"a": large, "b": large, "c": large})
    assert record.request_payload["truncated"] is True
    assert record.request_payload["size_bytes"] == len(whole)
    assert record.request_payload["sha256"] == hashlib.sha256(whole).hexdigest()
    assert record.response_data == {"id": 7}
    assert "request_payload" in record.metadata["cleaned"]["truncated"]
    assert record.error_message is not None
    assert record.error_message.startswith(letter * 16_384)


def test_a_record_just_within_the_bound_stays_whole(open_recorder: Open) -> None:
    """Three fields of the largest size each, which is what the bound is made for."""
    recorder = open_recorder(bytes_max=1 << 26)
    field = {"text": "x" * 65_000}
    recorder.record_action(
        action_values(request_payload=field, response_data=field, metadata=field)
    )
    (record,) = kept(recorder)
    assert (record.request_payload, record.response_data, record.metadata) == (field,) * 3

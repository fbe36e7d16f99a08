"""AuditService outside of any request: before, after, and what differs."""

from typing import Any

import pytest

from app.capture import AuditService, Recorder
from app.capture import recorder as module
from app.capture.audits import changed_fields
from app.domain.records import AuditRecord
from app.errors import InvalidRecord
from app.spool import Spool
from tests.support.samples import TENANT, recover_records

WHERE: dict[str, Any] = {"tenant_id": TENANT, "resource_type": "contact", "resource_id": "7"}


@pytest.fixture
def service(spool: Spool) -> AuditService:
    """A service with a recorder of its own."""
    return AuditService(
        Recorder(spool, payload_bytes_max=65536, notify=lambda: None, learn=lambda: None)
    )


def kept(spool: Spool) -> AuditRecord:
    """The only record on disk."""
    spool.close()
    (record,) = recover_records(spool.folder)
    assert isinstance(record, AuditRecord)
    return record


def test_a_change_is_kept_with_before_after_and_what_differs(
    service: AuditService, spool: Spool
) -> None:
    """Both whole; the names of the differing fields in the metadata."""
    before = {"name": "Ann", "phone": "1", "gone": None, "same": [1, {"a": 2}]}
    after = {"name": "Bea", "phone": "1", "new": None, "same": [1, {"a": 2}]}
    record_id = service.log_change(
        action="rename",
        before=before,
        after=after,
        user_id="ann",
        ip_address="192.0.2.1",
        user_agent="curl/8",
        operation_id="op",
        metadata={"ticket": "T-1"},
        **WHERE,
    )
    record = kept(spool)
    assert record.id == record_id
    assert record.action == "rename"
    assert record.changes == {"before": before, "after": after}
    assert record.metadata == {"ticket": "T-1", "changed_fields": ["gone", "name", "new"]}
    assert (record.user_id, record.ip_address, record.user_agent) == ("ann", "192.0.2.1", "curl/8")
    assert (record.resource_type, record.resource_id) == ("contact", "7")
    assert record.operation_id == "op"


def test_creation_has_no_before(service: AuditService, spool: Spool) -> None:
    """Every field is new."""
    service.log_create(data={"b": 1, "a": 2}, **WHERE)
    record = kept(spool)
    assert (record.action, record.changes) == ("create", {"after": {"b": 1, "a": 2}})
    assert record.metadata["changed_fields"] == ["a", "b"]


def test_deletion_has_no_after(service: AuditService, spool: Spool) -> None:
    """Every field is gone."""
    service.log_delete(data={"a": 2}, **WHERE)
    record = kept(spool)
    assert (record.action, record.changes) == ("delete", {"before": {"a": 2}})
    assert record.metadata["changed_fields"] == ["a"]


def test_an_update_has_both(service: AuditService, spool: Spool) -> None:
    """Also when nothing differs."""
    service.log_update(before={"a": 1}, after={"a": 1}, **WHERE)
    record = kept(spool)
    assert (record.action, record.changes) == ("update", {"before": {"a": 1}, "after": {"a": 1}})
    assert record.metadata["changed_fields"] == []


def test_a_changed_secret_is_named_and_not_shown(service: AuditService, spool: Spool) -> None:
    """That a password changed is worth knowing; what it was is not for the log."""
    service.log_update(before={"password": "hunter1"}, after={"password": "hunter2"}, **WHERE)
    record = kept(spool)
    assert record.metadata["changed_fields"] == ["password"]
    assert "hunter" not in str(record)


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        (None, None, []),
        ({}, None, []),
        ({"a": None}, {}, ["a"]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a"]),
        ({1: "x"}, {1: "y"}, ["1"]),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 0}, {"a": False}, ["a"]),
    ],
)
def test_changed_fields_are_those_that_differ_as_json(
    before: dict[Any, Any] | None, after: dict[Any, Any] | None, names: list[str]
) -> None:
    """Present with null is not absent, and 1 is not true."""
    assert changed_fields(before, after) == names


@pytest.mark.parametrize("name", ["action", "resource_type", "resource_id", "tenant_id", "user_id"])
def test_a_bad_value_is_refused_in_its_fields_name(service: AuditService, name: str) -> None:
    """The caller learns which."""
    with pytest.raises(InvalidRecord) as refusal:
        service.log_change(**{"action": "x", **WHERE, name: ""})
    assert refusal.value.field == name


@pytest.mark.parametrize("metadata", ["text", ["a"], 7])
def test_metadata_that_is_no_object_is_refused_in_its_name(
    service: AuditService, metadata: Any
) -> None:
    """And not by a TypeError that no caller expects."""
    with pytest.raises(InvalidRecord, match="metadata"):
        service.log_change(action="x", metadata=metadata, **WHERE)


class Incomparable:
    """A value of the host application that refuses to be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("ambiguous")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Incomparable()"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": Incomparable()}, {"a": Incomparable()}),
        ([1], {"a": 1}),
        ("text", None),
    ],
    ids=["incomparable", "list", "text"],
)
def test_what_cannot_be_compared_is_kept_without_saying_what_differs(
    service: AuditService, spool: Spool, before: Any, after: Any
) -> None:
    """The change happened all the same."""
    service.log_change(action="x", before=before, after=after, **WHERE)
    record = kept(spool)
    assert "before" in record.changes
    assert record.metadata.get("changed_fields") is None


def test_without_a_recorder_of_its_own_the_processs_serves(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in scripts and tasks."""
    recorder = Recorder(spool, payload_bytes_max=65536, notify=lambda: None, learn=lambda: None)
    monkeypatch.setattr(module, "_process_recorder", recorder)
    AuditService().log_create(data={}, **WHERE)
    assert kept(spool).action == "create"

"""The rules of records: what is taken, what is refused and in whose name."""

import hashlib
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from app.domain.records import (
    ACTION_TYPE_FORM,
    BUILTIN_ACTION_TYPES,
    INTEGER_MAX,
    TEXT_CHARS_MAX,
    ActionStatus,
    Kind,
)
from app.errors import InvalidRecord, OpsledgerError
from tests.support.samples import TENANT, action, audit


class CompanyAction(str, Enum):  # noqa: UP042 - the older spelling is what host apps have
    """Action types as host applications often write them down."""

    CREATE = "crm_create"


class Unspeakable:
    """A value that cannot be compared, printed or converted."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def test_the_platform_has_26_action_types_of_one_form() -> None:
    """As the specification lists them."""
    assert len(set(BUILTIN_ACTION_TYPES)) == len(BUILTIN_ACTION_TYPES) == 26
    assert all(ACTION_TYPE_FORM.fullmatch(name) for name in BUILTIN_ACTION_TYPES)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant_id", None),
        ("tenant_id", "not-a-uuid"),
        ("tenant_id", 7),
        ("action_type", "crm_destroy"),
        ("action_type", "CRM_CREATE"),
        ("action_type", None),
        ("action_type", ["crm_create"]),
        ("provider_name", ""),
        ("provider_name", "x" * 101),
        ("provider_name", None),
        ("provider_name", "hub\x00spot"),
        ("provider_name", "hub\ud800spot"),
        ("status", "done"),
        ("status", None),
        ("status", 1),
        ("execution_time_ms", -1),
        ("execution_time_ms", INTEGER_MAX + 1),
        ("execution_time_ms", True),
        ("execution_time_ms", "12"),
        ("execution_time_ms", None),
        ("execution_time_ms", float("nan")),
        ("execution_time_ms", float("inf")),
        ("operation_id", ""),
        ("operation_id", "x" * 256),
        ("operation_id", 7),
        ("metadata", ["a"]),
        ("metadata", "a"),
    ],
)
def test_a_bad_value_of_an_action_is_refused_in_its_fields_name(field: str, value: Any) -> None:
    """The field stands in the exception and in its message."""
    with pytest.raises(InvalidRecord, match=f"^{field}: ") as refusal:
        action(**{field: value})
    assert refusal.value.field == field
    assert refusal.value.rule


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant_id", "7"),
        ("action", ""),
        ("action", "x" * 101),
        ("resource_type", None),
        ("resource_type", "x" * 101),
        ("resource_id", 7),
        ("resource_id", "x" * 256),
        ("user_id", "x" * 256),
        ("user_id", ""),
        ("ip_address", "x" * 46),
        ("operation_id", "\x00"),
        ("changes", [1]),
        ("metadata", 1),
    ],
)
def test_a_bad_value_of_an_audit_is_refused_in_its_fields_name(field: str, value: Any) -> None:
    """The same rules for the other kind."""
    with pytest.raises(InvalidRecord) as refusal:
        audit(**{field: value})
    assert refusal.value.field == field


def test_a_refusal_says_what_is_allowed() -> None:
    """A caller learns the names without opening the documentation."""
    with pytest.raises(InvalidRecord, match=r"crm_create, .* not 'crm_destroy'"):
        action(action_type="crm_destroy")
    with pytest.raises(InvalidRecord, match="failure, pending, retry, success, timeout"):
        action(status="done")


def test_a_refusal_is_a_value_error() -> None:
    """Callers need not import our exceptions to catch it."""
    assert issubclass(InvalidRecord, ValueError)
    assert issubclass(InvalidRecord, OpsledgerError)


@pytest.mark.parametrize("status", ["SUCCESS", "Success", "success", ActionStatus.SUCCESS])
def test_a_status_is_read_in_any_case(status: str) -> None:
    """And kept in lower case."""
    assert action(status=status).status == "success"


def test_a_type_given_as_an_enum_of_the_host_is_kept_by_its_value() -> None:
    """str() of such a member would say CompanyAction.CREATE."""
    kept = action(action_type=CompanyAction.CREATE).action_type
    assert kept == "crm_create"
    assert type(kept) is str


def test_a_tenant_is_read_from_text() -> None:
    """Both forms of a UUID do."""
    assert action(tenant_id=str(TENANT)).tenant_id == TENANT
    assert action(tenant_id=TENANT.hex).tenant_id == TENANT


def test_what_was_not_given_is_empty() -> None:
    """A request is an object by default, a response may be missing, metadata never is."""
    made = action(request_payload=None, response_data=None)
    assert made.request_payload == {}
    assert made.response_data is None
    assert made.metadata == {}
    assert audit(changes=None).changes == {}


@pytest.mark.parametrize("payload", [[], [1], "text", 0, False, {"a": None}])
def test_any_json_value_is_a_payload(payload: Any) -> None:
    """Providers answer with lists and bare values too."""
    made = action(request_payload=payload, response_data=payload)
    assert made.request_payload == payload
    assert made.response_data == payload


@pytest.mark.parametrize(("given", "kept"), [(0, 0), (1.4, 1), (1.6, 2), (INTEGER_MAX, 2**31 - 1)])
def test_durations_are_whole_milliseconds(given: float, kept: int) -> None:
    """Rounded, and from 0 to what Postgres can count to."""
    assert action(execution_time_ms=given).execution_time_ms == kept


def test_an_error_message_is_repaired_rather_than_refused() -> None:
    """Free text is never a reason to lose a record."""
    message = action(error_message="a\x00b\ud800c").error_message
    assert message is not None
    assert message.startswith("a\ufffdb")
    assert message.encode()


def test_an_error_message_that_is_an_exception_becomes_its_text() -> None:
    """Callers pass what they caught."""
    assert action(error_message=ValueError("boom")).error_message == "boom"


def test_a_very_long_text_is_cut_with_its_full_length_and_hash() -> None:
    """The mark says how much there was, and what."""
    exact, longer = "x" * TEXT_CHARS_MAX, "x" * (TEXT_CHARS_MAX + 1)
    assert action(error_message=exact).error_message == exact
    cut = audit(user_agent=longer).user_agent
    digest = hashlib.sha256(longer.encode()).hexdigest()
    assert cut == f"{exact}… [cut, {TEXT_CHARS_MAX + 1} characters in all, sha256 {digest}]"


def test_a_records_time_is_its_ids() -> None:
    """One identity, one time."""
    made_at = UUID("0198c0de-0000-7000-8000-000000000000")
    expected = datetime.fromtimestamp(0x0198C0DE0000 / 1000, UTC)
    assert action(id=made_at).created_at == audit(id=made_at).created_at == expected


def test_a_record_knows_its_kind() -> None:
    """Whoever is handed one need not ask for its class."""
    assert (action().kind, audit().kind) == (Kind.ACTION, Kind.AUDIT)

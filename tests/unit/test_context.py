"""What a record learns from the request it was captured in."""

from dataclasses import replace

import pytest

from app.domain.context import RequestContext, complete, is_sane_request_id
from app.domain.records import IP_CHARS_MAX, TEXT_CHARS_MAX
from tests.support.samples import action, audit

CONTEXT = RequestContext(
    request_id="r-1",
    method="POST",
    route="/contacts/<id>",
    ip_address="192.0.2.7",
    user_agent="curl/8",
    user_id="ann",
    http_status=201,
)


def test_an_action_gains_the_request_in_its_metadata_and_nothing_else() -> None:
    """Request id, method, route, status and caller."""
    whole = action(metadata={"attempt": 2})
    before = replace(whole)
    complete(whole, CONTEXT)
    assert whole.metadata == {
        "attempt": 2,
        "http": {
            "request_id": "r-1",
            "method": "POST",
            "route": "/contacts/<id>",
            "status": 201,
            "ip_address": "192.0.2.7",
            "duration_ms": None,
        },
    }
    assert replace(whole, metadata=before.metadata) == before


def test_what_the_caller_gave_wins_over_the_request() -> None:
    """Also under the key http."""
    made = audit(user_id="bob", ip_address="::1", user_agent="x", metadata={"http": "mine"})
    before = replace(made)
    complete(made, CONTEXT)
    assert made == before


def test_an_audit_gains_who_and_from_where() -> None:
    """User, address and agent of the request."""
    whole = audit()
    complete(whole, CONTEXT)
    assert (whole.user_id, whole.ip_address, whole.user_agent) == ("ann", "192.0.2.7", "curl/8")


def test_an_unknown_caller_stays_unknown() -> None:
    """Nothing is made up, and nothing is an empty text."""
    nobody = replace(CONTEXT, user_id=None, ip_address=None, user_agent=None)
    whole = audit()
    complete(whole, nobody)
    assert (whole.user_id, whole.ip_address, whole.user_agent) == (None, None, None)


def test_over_long_request_values_are_cut_to_what_the_columns_hold() -> None:
    """A hostile header must not cost the record."""
    hostile = replace(CONTEXT, ip_address="9" * 1000, user_agent="x" * (TEXT_CHARS_MAX + 1))
    whole = audit()
    complete(whole, hostile)
    assert len(whole.ip_address or "") == IP_CHARS_MAX
    assert len(whole.user_agent or "") == TEXT_CHARS_MAX


@pytest.mark.parametrize("value", ["a", "0", "req-1.2:3/4+5=6", "A" * 128])
def test_a_sane_request_id_may_be_taken_over(value: str) -> None:
    """Letters, digits and a few separators."""
    assert is_sane_request_id(value)


@pytest.mark.parametrize("value", ["", "-a", "a b", "a\n", "a\x00", "é", "A" * 129, "<a>", '"'])
def test_other_request_ids_are_not_taken_over(value: str) -> None:
    """They end in logs and headers."""
    assert not is_sane_request_id(value)

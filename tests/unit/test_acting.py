"""Who acts, and for whom: in blocks, over the request, in records, in other threads."""

import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import AuditService, acting, log_action
from app.capture.acting import NOBODY, Acting, current_acting
from tests.support.host import CALL, CHANGE, Host
from tests.support.samples import TENANT


@pytest.fixture
def wired(open_host: Callable[..., Host]) -> Host:
    """A host whose records can be read."""
    host = open_host()
    host.start()
    return host


def test_records_have_who_acts_and_for_whom(wired: Host) -> None:
    """Of an audit the real one is the user; both are kept, and what is named at the call wins."""
    audit = AuditService()
    with acting(tenant_id=TENANT, user_id="support", acting_for="ann", operation_id="op-1"):
        log_action(**CALL)
        audit.log_create(data={"a": 1}, **CHANGE)
        audit.log_create(data={"a": 1}, user_id="cron", operation_id="op-2", **CHANGE)
    action, change, named = wired.kept()
    assert action.tenant_id == change.tenant_id == TENANT
    assert action.metadata["actor"] == {"user_id": "support", "acting_for": "ann"}
    assert (change.user_id, change.metadata["actor"]) == ("support", {"acting_for": "ann"})
    assert action.operation_id == change.operation_id == "op-1"
    assert (named.user_id, named.operation_id) == ("cron", "op-2")


def test_who_acts_goes_before_what_the_request_says(open_host: Callable[..., Host]) -> None:
    """And after the block the request's own user is back."""
    host = open_host(tenant_id=lambda: TENANT, user_id=lambda: "ada")

    @host.app.route("/")
    def view() -> str:
        audit = AuditService()
        with acting(user_id="support", acting_for="ada"):
            audit.log_create(data={}, **CHANGE)
        audit.log_create(data={}, **CHANGE)
        return ""

    host.start().get("/")
    inside, after = host.kept()
    assert (inside.user_id, inside.metadata["actor"]) == ("support", {"acting_for": "ada"})
    assert (after.user_id, after.metadata.get("actor")) == ("ada", None)
    assert inside.tenant_id == after.tenant_id == TENANT


def test_blocks_within_blocks_change_what_they_name() -> None:
    """And end with what was before, also by an exception."""
    with acting(user_id="a", acting_for="b"):
        with suppress(RuntimeError), acting(user_id="c"):
            assert current_acting() == Acting(user_id="c", acting_for="b")
            raise RuntimeError
        assert current_acting() == Acting(user_id="a", acting_for="b")
    assert current_acting() is NOBODY


def test_a_thread_acts_as_whose_context_it_has() -> None:
    """Nobody by itself; a copy of the context carries the identity over."""
    seen: list[Any] = []
    with acting(user_id="a"):
        carried = contextvars.copy_context()
        for target in (
            lambda: seen.append(current_acting()),
            lambda: carried.run(lambda: seen.append(current_acting())),
        ):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [NOBODY, Acting(user_id="a")]


texts = st.none() | st.text(max_size=20)


@given(texts, texts, texts)
def test_an_identity_goes_through_a_header_unchanged(
    user_id: str | None, acting_for: str | None, operation_id: str | None
) -> None:
    """As JSON carries it."""
    who = Acting(user_id=user_id, acting_for=acting_for, operation_id=operation_id)
    assert Acting.from_header(who.as_header()) == who


@pytest.mark.parametrize("header", [None, "x", 7, [], ["tenant_id"]])
def test_a_header_that_is_none_is_nobody(header: Any) -> None:
    """A stranger may have sent the message."""
    assert Acting.from_header(header) is None

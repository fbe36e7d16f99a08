"""Tickets: one opens one stream of its own tenant, once, within a minute."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from app.api.service import SERVICE
from app.auth import hash_secret
from app.domain.tickets import hash_ticket, tenant_of, write_ticket
from app.store.tickets import add_ticket
from tests.support.world import Inhabitant, World, action, audit, problem_of, refused_fields

STREAM, TICKET = "/api/v1/logs/stream", "/api/v1/stream/ticket"


def ticket_of(who: Inhabitant) -> str:
    """A new ticket."""
    issued = who.post(TICKET)
    assert issued.status_code == 201, issued.text
    return str(issued.json["ticket"])


def by_ticket(who: Inhabitant, ticket: str, query: str = "") -> Any:
    """The stream as a browser asks for it: without a key."""
    return who.client.get(f"{STREAM}?ticket={ticket}{query}")


def test_a_ticket_opens_one_stream_and_then_none(world: World) -> None:
    """In place of a key, with the filters of the request."""
    who = world.settle()
    made = action(who.tenant_id, status="failure")
    world.put(made, action(who.tenant_id))
    ticket = ticket_of(who)
    opened = by_ticket(who, ticket, "&status=failure")
    assert opened.status_code == 200
    assert str(made.id) in opened.text
    assert opened.text.count('"provider_name"') == 1
    assert "ask for a new one" in problem_of(by_ticket(who, ticket), 401)["detail"]


def test_of_many_who_use_a_ticket_at_once_one_gets_in(world: World) -> None:
    """Whoever is first."""
    who = world.settle()
    ticket = ticket_of(who)

    def attempt(_: int) -> int:
        return int(world.app.test_client().get(f"{STREAM}?ticket={ticket}").status_code)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(attempt, range(6))) == [200, *[401] * 5]


def test_a_ticket_shows_what_its_key_may_see(world: World) -> None:
    """Its tenant's records, without payloads if the key has not the scope."""
    mine, theirs = world.settle(["logs:read"]), world.settle()
    world.put(audit(mine.tenant_id, user_id="ada"), audit(theirs.tenant_id, user_id="grace"))
    shown = by_ticket(theirs, ticket_of(mine), "&log=audits").text
    assert '"ada"' in shown
    assert '"grace"' not in shown
    assert '"withheld"' in shown


@pytest.mark.parametrize("place", [0, 10, 30, 50, 66])
def test_a_changed_ticket_is_none(world: World, place: int) -> None:
    """Wherever it is changed; and it is not used up by that."""
    who = world.settle()
    ticket = ticket_of(who)
    other = "A" if ticket[place] != "A" else "B"
    changed = ticket[:place] + other + ticket[place + 1 :]
    problem_of(by_ticket(who, changed), 401)
    assert by_ticket(who, ticket).status_code == 200


def test_a_ticket_cannot_be_led_to_another_tenant(world: World) -> None:
    """The tenant that it names is part of what is looked for."""
    mine, theirs = world.settle(), world.settle()
    world.put(action(theirs.tenant_id))
    ticket = ticket_of(mine)
    secret = b"\x00" * 32
    forged = write_ticket(theirs.tenant_id, secret)
    assert tenant_of(forged) == theirs.tenant_id
    problem_of(by_ticket(mine, forged), 401)
    assert tenant_of(ticket) == mine.tenant_id
    for nonsense in ("", "st_", "x" * 67, "st_" + "!" * 64, "st_" + "é" * 64):
        assert by_ticket(mine, nonsense).status_code in (400, 401)


def test_a_ticket_ends_with_its_minute_and_is_not_kept(world: World) -> None:
    """It goes when the tenant's next one is made."""
    who = world.settle()
    late = write_ticket(who.tenant_id, b"\x01" * 32)
    database = world.app.extensions[SERVICE].database
    with database.tenant(who.tenant_id) as session:
        key = hash_secret(who.secret)
        add_ticket(session, who.tenant_id, hash_ticket(late), key, datetime.now(UTC))
    problem_of(by_ticket(who, late), 401)
    ticket = ticket_of(who)
    with database.tenant(who.tenant_id) as session:
        kept = session.execute(text("SELECT digest FROM stream_tickets")).scalars().all()
    assert [bytes(one) for one in kept] == [hash_ticket(ticket)]


def test_only_hashes_are_kept_and_who_asked_is_on_record(live: World) -> None:
    """The audit names the key and a part of the hash."""
    who = live.settle()
    ticket = ticket_of(who)
    live.arrive()
    (row,) = who.get("/api/v1/logs/audits?resource_type=stream_ticket").json
    assert row["user_id"].startswith("key:")
    assert row["action"] == "issue"
    assert row["resource_id"] == hash_ticket(ticket).hex()[:16]
    assert ticket not in str(row)


def test_a_key_that_may_not_read_gets_no_ticket(world: World) -> None:
    """Nor does who has none."""
    problem_of(world.settle(["logs:write"]).post(TICKET), 403)
    problem_of(world.app.test_client().post(TICKET), 401)
    refused_fields(world.settle().post(f"{TICKET}?for=me"))

"""The stream where no process holds it: what is there now, as events, each exactly once."""

from typing import Any

import pytest

from app.broker import broker_of
from app.pipeline.commits import Announcer, News
from tests.support.events import read_events
from tests.support.world import Inhabitant, World, action, audit, eventually, refused_fields

STREAM = "/api/v1/logs/stream"


def events(who: Inhabitant, query: str = "", last: str = "") -> list[dict[str, Any]]:
    """All events of an answer, which is a stream."""
    headers = {**who.headers, **({"Last-Event-ID": last} if last else {})}
    response = who.client.get(f"{STREAM}{query}", headers=headers)
    assert response.status_code == 200, response.get_data(as_text=True)
    assert response.mimetype == "text/event-stream"
    return list(read_events(response.get_data(as_text=True).splitlines()))


def ids(found: list[dict[str, Any]]) -> list[str]:
    """The records of events."""
    return [row["id"] for event in found for row in event["data"]]


def test_events_are_the_tail_and_go_on_from_any_of_them(world: World) -> None:
    """From the last id, or from one in the middle; header and parameter alike."""
    who = world.settle()
    made = [action(who.tenant_id, provider_name=f"p{number}") for number in range(250)]
    world.put(*made)
    found = events(who)
    tail = who.get("/api/v1/logs/actions?order=commit&limit=1000").json
    assert [row for event in found for row in event["data"]] == tail
    assert len(found) >= 3
    middle = found[0]["id"]
    assert ids(events(who, last=middle)) == ids(found[1:])
    assert ids(events(who, f"?after={middle}")) == ids(found[1:])
    assert ids(events(who, last=found[-1]["id"])) == []
    late = action(who.tenant_id)
    world.put(late)
    assert ids(events(who, last=found[-1]["id"])) == [str(late.id)]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?status=failure", 2),
        ("?status=failure&provider_name=a", 1),
        ("?payload.n=1", 1),
        ("?log=audits&user_id=ada", 1),
        ("?log=audits", 2),
    ],
)
def test_filters_are_those_of_the_list(world: World, query: str, count: int) -> None:
    """Of the log that is followed."""
    who = world.settle()
    world.put(
        action(who.tenant_id, status="failure", provider_name="a"),
        action(who.tenant_id, status="failure", provider_name="b", request_payload={"n": 1}),
        action(who.tenant_id),
        audit(who.tenant_id, user_id="ada"),
        audit(who.tenant_id),
    )
    assert len(ids(events(who, query))) == count


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?log=both", "log"),
        ("?log=audits&status=failure", "status"),
        ("?user_id=ada", "user_id"),
        ("?limit=5", "limit"),
        ("?order=created", "order"),
        ("?after=nonsense", "after"),
        ("?since=yesterday", "since"),
    ],
)
def test_what_cannot_be_asked_is_a_400_that_names_it(world: World, query: str, field: str) -> None:
    """Before the stream begins."""
    assert field in refused_fields(world.settle().get(f"{STREAM}{query}"))


def test_what_is_free_form_is_withheld_from_a_key_without_the_scope(world: World) -> None:
    """As in lists."""
    who = world.settle(["logs:read"])
    world.put(audit(who.tenant_id))
    (event, *_) = events(who, "?log=audits")
    assert event["data"][0]["changes"] == {"withheld": "logs:read:payloads"}


def test_a_place_in_anothers_stream_is_no_place(world: World) -> None:
    """Bound to tenant, log and filters."""
    mine, theirs = world.settle(), world.settle()
    world.put(action(theirs.tenant_id), action(mine.tenant_id))
    place = events(theirs)[-1]["id"]
    assert "after" in refused_fields(mine.get(f"{STREAM}?after={place}"))
    assert "after" in refused_fields(theirs.get(f"{STREAM}?log=audits&after={place}"))
    assert len(ids(events(mine))) == 1


def test_news_wake_who_waits_and_nobody_else(world: World) -> None:
    """Through the broker; what a worker says, a stream hears."""
    mine, theirs = world.settle(), world.settle()
    broker = broker_of(world.opsledger.settings)
    news, announcer = News(broker), Announcer(broker, 1.0)
    mine_at = news.mark(mine.tenant_id)
    news.wait(mine.tenant_id, mine_at, 2.0)  # the listener is there: it tells everybody once
    mine_at, theirs_at = news.mark(mine.tenant_id), news.mark(theirs.tenant_id)

    def told() -> bool:
        announcer.announce([str(mine.tenant_id)])
        news.wait(mine.tenant_id, mine_at, 0.2)
        return news.mark(mine.tenant_id) != mine_at

    eventually(told)
    assert news.mark(theirs.tenant_id) == theirs_at
    news.stop()

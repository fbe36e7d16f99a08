"""What every provider does alike: one suite for each capability, run on each provider of it.

Those elsewhere are fakes on this host, held to what the providers publish of themselves.
"""

from datetime import timedelta
from typing import Any

import pytest

from app.errors import ProviderCode, ProviderError
from tests.support.desks import ALL, CHANGED, CHANGES, NEW, NOON, Desk, of, records, shown_alike
from tests.support.zendesk_models import check_written


@of(*ALL)
def test_what_was_made_can_be_read_back(desk: Desk) -> None:
    """All unified fields, with the provider's name, an id of its own and times with a zone."""
    made = desk.make()
    assert made.provider == desk.provider
    assert made.id
    assert made.created_at.utcoffset() == timedelta(0)
    got = desk.call.get(desk.tenant, made.id)
    given = {name: value for name, value in NEW[desk.name].items() if name != "email"}
    shown_alike(made, given)
    shown_alike(got, given)
    assert got.id == made.id
    if desk.fake is not None:
        assert got.url.startswith(("https://", "http://127.0.0.1"))


@of(*CHANGED)
def test_a_change_is_of_the_given_fields_alone(desk: Desk) -> None:
    """Null empties one; the others stay."""
    made = desk.make()
    changed = desk.call.update(desk.tenant, made.id, CHANGES[desk.name])
    shown_alike(changed, CHANGES[desk.name])
    kept = set(NEW[desk.name]) - set(CHANGES[desk.name]) - {"email"}
    for one in (changed, desk.call.get(desk.tenant, made.id)):
        shown_alike(one, {name: NEW[desk.name][name] for name in kept})


@of("crm", "calendar", "knowledge")
def test_what_was_deleted_is_gone(desk: Desk) -> None:
    """From lists too; others stay."""
    made, other = desk.make(), desk.make()
    desk.call.delete(desk.tenant, made.id)
    assert [one.id for one in desk.page().items] == [other.id]
    with pytest.raises(ProviderError) as refusal:
        desk.call.get(desk.tenant, made.id)
    assert refusal.value.code is ProviderCode.NOT_FOUND


@of(*ALL)
def test_what_is_unknown_is_not_found(desk: Desk) -> None:
    """Permanently, whatever its id looks like; and on record."""
    calls = [lambda item_id: desk.call.get(desk.tenant, item_id)]
    if desk.name in CHANGED:
        calls.append(lambda item_id: desk.call.update(desk.tenant, item_id, CHANGES[desk.name]))
    if desk.name == "helpdesk":
        calls.append(lambda item_id: desk.call.comment(desk.tenant, item_id, {"body": "x"}))
    for call in calls:
        for item_id in ("01890a5d-ac96-774b-bcce-b302099a8057", "0", "ü/..?&#%"):
            with pytest.raises(ProviderError) as refusal:
                call(item_id)
            assert refusal.value.code is ProviderCode.NOT_FOUND
    kept = records(desk)
    assert len(kept) == 3 * len(calls)
    assert {record["status"] for record in kept} == {"failure"}
    assert all("ü/..?&#%" in str(record["request_payload"]) for record in kept[2::3])


@of(*ALL)
def test_a_list_shows_each_once(desk: Desk) -> None:
    """Page by page, by the provider's own cursor; a place that is none is the caller's mistake."""
    made = {desk.make().id for _ in range(5)}
    shown, after = [], None
    for _ in range(4):
        page = desk.page(2, after)
        shown += [one.id for one in page.items]
        after = page.next
        if after is None:
            break
    assert after is None
    assert sorted(shown) == sorted(made)
    with pytest.raises(ProviderError) as refusal:
        desk.page(2, "nonsense")
    assert refusal.value.code is ProviderCode.INVALID


@of("crm", "email", "knowledge")
def test_a_search_finds_a_word_in_any_case(desk: Desk) -> None:
    """And not what has none."""
    words = {"crm": "company", "email": "subject", "knowledge": "title"}
    wanted = desk.make(**{words[desk.name]: "Zebra crossing"})
    desk.make()
    for query, found in (("ZEBRA", [wanted.id]), ("giraffe", [])):
        page = desk.call.search(desk.tenant, query, limit=10, after=None)
        assert [one.id for one in page.items] == found


@of("helpdesk")
def test_a_comment_is_public_unless_it_says_otherwise(desk: Desk) -> None:
    """And names its ticket."""
    ticket = desk.make()
    for given, public in (({"body": "A"}, True), ({"body": "B", "public": False}, False)):
        said = desk.call.comment(desk.tenant, ticket.id, given)
        assert (said.ticket_id, said.body, said.public) == (ticket.id, given["body"], public)


@of("calendar")
def test_events_are_listed_by_window_and_may_be_whole_days(desk: Desk) -> None:
    """From midnight to midnight; a change makes a day of an hour, and back."""
    midnight = NOON.replace(hour=0)
    day = {"start": midnight, "end": midnight + timedelta(days=1), "all_day": True}
    hour = {"start": NOON, "end": NOON + timedelta(hours=1), "all_day": False}
    event = desk.make(**day)
    shown_alike(event, day)
    for given in (hour, day):
        shown_alike(desk.call.update(desk.tenant, event.id, given), given)
    later = desk.make(start=NOON + timedelta(days=9), end=NOON + timedelta(days=9, hours=1))
    window = {"since": NOON + timedelta(days=5), "until": NOON + timedelta(days=20)}
    page = desk.call.list(desk.tenant, limit=9, after=None, **window)
    assert [one.id for one in page.items] == [later.id]


@of("email")
def test_a_message_may_have_html_and_copies(desk: Desk) -> None:
    """Beside its text."""
    given = {"cc": ["cy@example.com", "di@example.com"], "html": "<p>Hello</p>\n"}
    got = desk.call.get(desk.tenant, desk.make(**given).id)
    shown_alike(got, given)


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("Ticket", {"id": 7}),
        ("Ticket", {"description": "that of the first comment"}),
        ("Ticket", {"title": "a subject, at Zendesk"}),
        ("Ticket", {"tags": "a b"}),
        ("User", {"email": 7}),
        ("Comment", {"text": "a body"}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_what_zendesk_does_not_take_its_fake_refuses(model: str, written: dict[str, Any]) -> None:
    """By the classes of zenpy: no such field, another type, or one that can only be read."""
    with pytest.raises(AssertionError, match=model):
        check_written(model, written)

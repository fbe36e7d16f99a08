"""Pages: the Link header leads through a list to its end, each record exactly once."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from app.domain.records import Record
from tests.support.world import Inhabitant, World, action, audit, follow, next_page

ACTIONS = "/api/v1/logs/actions"
AUDITS = "/api/v1/logs/audits"
TRAIL = f"{AUDITS}/resource/contact/c-1"
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=9)


def spread(tenant: Inhabitant, path: str, count: int) -> list[Record]:
    """Records over two partitions, three of each millisecond, so that pages cut through ties."""
    make = action if path == ACTIONS else audit
    step = timedelta(hours=9)
    return [make(tenant.tenant_id, at=START + step * (number // 3)) for number in range(count)]


@pytest.mark.parametrize("path", [ACTIONS, AUDITS, TRAIL])
@pytest.mark.parametrize("limit", [1, 2, 7, 60, 61])
def test_the_link_header_leads_through_every_record_once(
    world: World, path: str, limit: int
) -> None:
    """Full pages to the last, which has no link; none of them empty."""
    tenant = world.settle()
    records = spread(tenant, path, 60)
    world.put(*records)
    pages = list(follow(tenant, f"{path}?limit={limit}"))
    expected = [str(r.id) for r in sorted(records, key=lambda r: (r.created_at, r.id))][::-1]
    assert [row["id"] for page in pages for row in page] == expected
    assert all(len(page) == limit for page in pages[:-1])
    assert 0 < len(pages[-1]) <= limit


@pytest.mark.parametrize("path", [ACTIONS, AUDITS, TRAIL])
def test_records_that_arrive_meanwhile_neither_repeat_nor_hide_any(world: World, path: str) -> None:
    """A cursor stands still where an offset would slide."""
    tenant = world.settle()
    records = spread(tenant, path, 40)
    world.put(*records)
    seen: list[str] = []
    for page in follow(tenant, f"{path}?limit=3"):
        seen += [row["id"] for row in page]
        make = action if path == ACTIONS else audit
        world.put(*(make(tenant.tenant_id) for _ in range(5)))  # newer than what is shown
    assert len(seen) == len(set(seen))
    assert set(seen) == {str(record.id) for record in records}


def test_a_link_keeps_the_filters_and_the_limit(world: World) -> None:
    """Each page is of the list that was asked for; skip counts once."""
    tenant = world.settle()
    wanted = [
        action(tenant.tenant_id, at=START + timedelta(minutes=n), provider_name="a&b =ü")
        for n in range(9)
    ]
    world.put(*wanted, *(action(tenant.tenant_id) for _ in range(9)))
    query = "provider_name=a%26b%20%3D%C3%BC&status=SUCCESS&status=retry&limit=3&skip=2"
    pages = list(follow(tenant, f"{ACTIONS}?{query}"))
    shown = [row["id"] for page in pages for row in page]
    assert shown == [str(record.id) for record in reversed(wanted)][2:]
    assert [len(page) for page in pages] == [3, 3, 1]

    link = next_page(tenant.get(f"{ACTIONS}?{query}"))
    assert link
    kept = parse_qs(urlsplit(link).query)
    assert set(kept) == {"provider_name", "status", "limit", "after"}
    assert kept["status"] == ["SUCCESS", "retry"]


def test_the_same_filters_in_another_order_make_the_same_list(world: World) -> None:
    """A cursor is bound to what is asked, not to how it is written."""
    tenant = world.settle()
    world.put(*(action(tenant.tenant_id, at=START + timedelta(minutes=n)) for n in range(4)))
    moment = "2000-01-01T00:00:00Z"
    first = tenant.get(f"{ACTIONS}?status=success&status=retry&since={moment}&limit=2")
    cursor = parse_qs(urlsplit(next_page(first) or "").query)["after"][0]
    same = "since=2000-01-01T02:00:00%2B02:00&status=RETRY&status=SUCCESS&status=retry"
    rest = tenant.get(f"{ACTIONS}?{same}&after={cursor}").json
    everything = [row["id"] for row in tenant.get(ACTIONS).json]
    assert [row["id"] for row in (*first.json, *rest)] == everything


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_page_that_holds_the_rest_has_no_link(world: World, count: int) -> None:
    """Also when it is exactly full."""
    tenant = world.settle()
    world.put(*spread(tenant, ACTIONS, 5)[:count], audit(tenant.tenant_id))
    response = tenant.get(f"{ACTIONS}?limit=5")
    assert len(response.json) == count
    assert next_page(response) is None


def test_a_cursor_past_the_last_record_shows_an_empty_page(world: World) -> None:
    """As when what followed is gone."""
    tenant = world.settle()
    records = spread(tenant, ACTIONS, 2)
    world.put(*records)
    link = next_page(tenant.get(f"{ACTIONS}?limit=1"))
    assert link
    last = tenant.get(link)
    assert len(last.json) == 1
    assert next_page(last) is None


def test_the_largest_page_is_a_thousand(world: World) -> None:
    """And the next goes on from there."""
    tenant = world.settle()
    for _ in range(3):
        world.put(*(action(tenant.tenant_id) for _ in range(400)))
    pages = list(follow(tenant, f"{ACTIONS}?limit=1000"))
    assert [len(page) for page in pages] == [1000, 200]
    assert len({row["id"] for page in pages for row in page}) == 1200


def test_contacts_are_paged_by_link_too(world: World) -> None:
    """The adapter's lists work as those of the logs."""
    tenant = world.settle()
    for number in range(5):
        body = {"email": f"p{number}@example.com", "company": "Ä & Söhne"}
        assert tenant.post("/api/v1/crm/contacts", json=body).status_code == 201
    for path in (
        "/api/v1/crm/contacts?limit=2",
        "/api/v1/crm/contacts/search?q=%C3%A4%20%26&limit=2",
    ):
        pages = list(follow(tenant, path))
        shown = [row["email"] for page in pages for row in page]
        assert shown == [f"p{number}@example.com" for number in (4, 3, 2, 1, 0)]
        assert [len(page) for page in pages] == [2, 2, 1]

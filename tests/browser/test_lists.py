"""The lists and records in a real browser: filters, pages, keys, differences."""

import re
import shlex
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.support.browser import Visitor
from tests.support.world import Inhabitant


def test_scrolling_shows_every_record_once_newest_first(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """Page by page, by the cursor."""
    visitor = visit(lived_in.secret)
    visitor.open("/actions")
    while visitor.page.locator(".more-rows:not(.end)").count():
        visitor.reach_for_more()
        visitor.page.wait_for_timeout(50)
    listed = lived_in.get("/api/v1/logs/actions?limit=1000").json
    assert visitor.ids() == [row["id"] for row in listed]
    assert len(listed) == 140


def test_a_filter_changes_rows_and_url_and_the_url_shows_the_same_to_another(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """Choices, values, paths and the search, one after the other."""
    visitor = visit(lived_in.secret)
    visitor.open("/actions")
    with visitor.page.expect_response("**/actions?*"):
        visitor.page.click("label.choice:has-text('timeout')")
    visitor.page.wait_for_selector(".said:has-text('timeout')")
    assert "status=timeout" in visitor.path()
    with visitor.page.expect_response("**/actions?*"):
        visitor.page.fill("[data-tokens=provider_name] [data-token-input]", "zendesk")
        visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector(".said:has-text('zendesk')")
    visitor.page.click("[data-toggle]")
    visitor.page.fill("[name=path]", "payload.contact.tags.0")
    visitor.page.fill("[name=path_value]", "a")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector(".said:has-text('tags')")
    wanted = "status=timeout&provider_name=zendesk&payload.contact.tags.0=a"
    expected = [row["id"] for row in lived_in.get(f"/api/v1/logs/actions?{wanted}").json]
    assert visitor.ids() == expected
    assert expected
    other = visit(lived_in.secret)
    other.open(visitor.path())
    assert other.ids() == expected


def test_a_filter_that_cannot_be_is_told_and_the_page_stays(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """In the API's words, which name the field and what is allowed."""
    visitor = visit(lived_in.secret)
    visitor.open("/actions?status=blue&action_type=crm_create")
    said = visitor.text("#results")
    assert "status" in said
    assert "Must be one of" in said
    assert visitor.page.locator("#filters").count() == 1


def test_copied_as_curl_the_list_is_the_same(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """The command has the URL of the API with every filter, and no key."""
    visitor = visit(lived_in.secret, permissions=["clipboard-read", "clipboard-write"])
    visitor.open("/actions?status=failure&q=n1&period=24h")
    visitor.page.keyboard.press("c")
    visitor.page.wait_for_selector("#toast.shown")
    command = shlex.split(visitor.page.evaluate("navigator.clipboard.readText()"))
    assert command[0] == "curl"
    assert command[2:] == ["-H", "X-API-Key: $OPSLEDGER_KEY"]
    url = urlsplit(command[1])
    rows = lived_in.get(f"{url.path}?{url.query}").json
    assert [row["id"] for row in rows] == visitor.ids()
    assert lived_in.secret not in visitor.page.content()


def test_columns_are_chosen_and_shared_by_url(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """A column more; the next page of rows has it, too."""
    visitor = visit(lived_in.secret)
    visitor.open("/actions")
    visitor.page.click("summary:has-text('Columns')")
    visitor.page.check("[data-column][value=id]")
    visitor.page.wait_for_url("**columns=*")
    visitor.settle()
    visitor.reach_for_more()
    visitor.page.wait_for_selector("tr.row >> nth=50")
    last = visitor.page.locator("tr.row").last
    assert re.search(r"[0-9a-f]{8}-", last.inner_text())


def test_everything_goes_by_keys(visit: Callable[..., Visitor], lived_in: Inhabitant) -> None:
    """Search, rows, record, neighbours, places."""
    visitor = visit(lived_in.secret)
    visitor.page.keyboard.press("g")
    visitor.page.keyboard.press("a")
    visitor.page.wait_for_url("**/actions")
    visitor.settle()
    visitor.page.keyboard.press("/")
    assert visitor.page.evaluate("document.activeElement.id") == "search"
    visitor.page.keyboard.press("Escape")
    for key in ("j", "j", "j", "k"):
        visitor.page.keyboard.press(key)
    wanted = visitor.ids()[1]
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url(f"**/actions/{wanted}")
    visitor.settle()
    visitor.page.keyboard.press("[")
    visitor.page.wait_for_url(lambda url: wanted not in url)
    visitor.settle()
    visitor.page.keyboard.press("]")
    visitor.page.wait_for_url(f"**/actions/{wanted}")
    visitor.page.keyboard.press("t")
    assert visitor.page.evaluate("document.documentElement.dataset.theme") == "light"
    visitor.page.keyboard.press("?")
    assert visitor.page.locator("#shortcuts").is_visible()


def test_the_difference_is_shown_side_by_side_and_inline(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """Added, removed, changed; what was masked is shown as masked."""
    visitor = visit(lived_in.secret)
    visitor.open("/audits?resource_type=settings")
    visitor.page.click("tr.row time >> nth=4")
    visitor.page.wait_for_selector(".diff")
    side = visitor.text(".diff-side")
    assert re.search(r'plan\s+"basic"\s+"pro"', side)
    assert re.search(r"token\s+.\s+token", side)
    assert visitor.page.locator(".diff-side .masked").count() == 1
    assert "same" not in side
    visitor.page.check("[data-same]")
    assert "same" in visitor.text(".diff-side")
    visitor.page.click("label:has-text('Inline')")
    assert not visitor.page.locator(".diff-side").is_visible()
    inline = visitor.text(".diff-inline")
    assert re.search('\N{MINUS SIGN}\\s*plan\\s*"basic"\n\\+\\s*plan\\s*"pro"', inline)
    visitor.page.click("a[aria-label='Older change of this resource']")
    visitor.page.wait_for_selector(".steps:has-text('6 of 30')")


def test_json_is_searched_folded_and_copied(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """In the tree of the request."""
    visitor = visit(lived_in.secret, permissions=["clipboard-read", "clipboard-write"])
    visitor.open("/actions?q=n7@example.com")
    visitor.page.click("tr.row time")
    visitor.page.wait_for_selector("#request")
    visitor.page.click("#request [data-fold]")
    assert not visitor.page.locator("#request .j-key:text('email')").is_visible()
    visitor.page.fill("#request input[type=search]", "n7@")
    assert visitor.page.locator("#request .j-hit").inner_text() == '"n7@example.com"'
    visitor.page.click("#request [data-copy-from]")
    visitor.page.wait_for_selector("#toast.shown")
    copied = visitor.page.evaluate("navigator.clipboard.readText().then(JSON.parse)")
    assert copied == {"contact": {"email": "n7@example.com", "tags": ["a"]}}

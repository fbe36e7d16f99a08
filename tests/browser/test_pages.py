"""The dashboard in a real browser: every page, light and dark, for everybody."""

import gzip
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest

from tests.support.browser import Visitor
from tests.support.world import Inhabitant, World

SCRIPT_BYTES_MAX = 150_000  # gzip, of all that a page loads
SHIFT_MAX = 0.01  # Lighthouse calls up to 0.1 good
PLACES = ("analytics", "alerts", "exports", "forwarding", "storage", "keys")


def pages_of(who: Inhabitant) -> Iterator[str]:
    """The path of every page, with this tenant's ids."""
    action_id = who.get("/api/v1/logs/actions?status=timeout&limit=1").json[0]["id"]
    audit_id = who.get("/api/v1/logs/audits?limit=1").json[0]["id"]
    yield from ("/", "/?period=7d", "/actions", "/actions?status=failure&min_execution_time_ms=5")
    yield from ("/audits", "/actions?q=nowhere&period=1h", "/actions?since=yesterday")
    yield from (f"/actions/{action_id}", f"/audits/{audit_id}", "/actions/no-id", "/audits/x")
    yield from ("/resources/settings/billing/eu", "/users/user1@example.com", "/operations/op-3")
    yield from (f"/{place}" for place in PLACES)
    alert_id = who.get("/api/v1/alerts").json[0]["id"]
    rule_id = who.get("/api/v1/alerts/rules").json[0]["id"]
    yield from (f"/alerts/{alert_id}", f"/alerts/rules/{rule_id}", "/alerts/channels")
    yield from ("/alerts/rules/new", "/alerts/no-id", "/exports/new?log=audits&user_id=ada&q=x")


def test_axe_finds_nothing_on_any_page_light_or_dark_and_phones_show_all(
    visit: Callable[..., Visitor], site: World, lived_in: Inhabitant
) -> None:
    """Contrast, names, roles, order; on a phone, nothing is wider than the screen."""
    link = lived_in.post("/api/v1/viewer-links", json={"user_id": "user1@example.com"}).json["url"]
    visitor = visit()
    found = wrong_with(visitor, ("/sign-in", urlsplit(link).path))
    visitor.page.click(".event-title")
    visitor.page.wait_for_selector("dl.facts")
    visitor.settle()
    found["a record by a link"] = in_both_schemes(visitor)
    keeper = visit(site.operator().secret)
    of_operators = ("/keys", f"/keys?tenant={lived_in.tenant_id}", "/storage")
    found |= {
        f"operator: {path}": wrong for path, wrong in wrong_with(keeper, of_operators).items()
    }
    visitor.sign_in(lived_in.secret)
    found |= wrong_with(visitor, pages_of(lived_in))
    visitor.open("/actions")
    visitor.page.click("[data-toggle]")
    found["filters open"] = in_both_schemes(visitor)
    visitor.page.keyboard.press("Escape")
    visitor.page.click("h1")
    visitor.page.keyboard.press("?")
    found["shortcuts"] = in_both_schemes(visitor)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def wrong_with(visitor: Visitor, paths: Iterable[str]) -> dict[str, list[str]]:
    """What is wrong with pages, by path."""
    found: dict[str, list[str]] = {}
    for path in paths:
        visitor.open(path)
        found[path] = in_both_schemes(visitor)
        visitor.page.set_viewport_size({"width": 390, "height": 844})
        wide = visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        found[path] += [f"{wide} px wider than a phone"] if wide > 0 else []
        visitor.page.set_viewport_size({"width": 1280, "height": 720})
    return found


def in_both_schemes(visitor: Visitor) -> list[str]:
    """What axe-core finds wrong in the light, and of colours, all that differs, in the dark."""
    visitor.page.emulate_media(color_scheme="dark")
    found = [f"dark: {wrong}" for wrong in visitor.violations("color-contrast")]
    visitor.page.emulate_media(color_scheme="light")
    return found + [f"light: {wrong}" for wrong in visitor.violations()]


def test_no_page_asks_another_host_and_scripts_are_small(
    visit: Callable[..., Visitor], site: World, lived_in: Inhabitant
) -> None:
    """All that the pages load, and what of it is script."""
    visitor = visit(lived_in.secret)
    for path in pages_of(lived_in):
        visitor.open(path)
    hosts = {urlsplit(url).netloc for url in visitor.requests}
    assert hosts == {urlsplit(site.address).netloc}
    scripts = {url for url in visitor.requests if urlsplit(url).path.endswith(".js")}
    sizes = [len(gzip.compress(lived_in.client.get(url).get_data())) for url in scripts]
    assert len(sizes) >= 4
    assert sum(sizes) <= SCRIPT_BYTES_MAX


@pytest.mark.parametrize("path", ["/", "/actions", "/audits", "/analytics"])
def test_nothing_moves_while_a_page_loads(
    visit: Callable[..., Visitor], lived_in: Inhabitant, path: str
) -> None:
    """Parts that come later have their room from the start."""
    visitor = visit(lived_in.secret)
    visitor.open(path)
    assert visitor.shifted() <= SHIFT_MAX


def test_every_figure_of_the_overview_leads_to_its_records(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """What is counted is what is listed behind it."""
    visitor = visit(lived_in.secret)
    visitor.open("/?period=24h")
    stats = lived_in.get("/api/v1/logs/stats").json
    figures = visitor.page.locator(".figures a")
    assert re.search(r"\b140\b", figures.nth(0).inner_text())
    links = [a.get_attribute("href") or "" for a in visitor.page.locator("main a").all()]
    assert len(links) > 25
    figures.nth(2).click()
    visitor.settle()
    while visitor.page.locator(".more-rows:not(.end)").count():
        visitor.reach_for_more()
        visitor.page.wait_for_timeout(50)
    assert len(visitor.ids()) == stats["failed_actions"] == 40
    for link in sorted(set(links)):
        if link.startswith("/"):
            response = visitor.page.request.get(visitor.address + link)
            assert response.status == 200, link


def test_a_bar_leads_to_the_records_of_its_time(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """A click into the chart lists what the bar counts."""
    visitor = visit(lived_in.secret)
    visitor.open("/?period=24h")
    chart = visitor.page.locator("[data-chart=volume] .u-over")
    box = chart.bounding_box()
    assert box
    chart.hover(position={"x": box["width"] * 0.8, "y": 20})
    said = visitor.page.inner_text(".chart-tip")
    counted = sum(int(number) for number in re.findall(r"^(\d+)$", said, re.MULTILINE))
    chart.click(position={"x": box["width"] * 0.8, "y": 20})
    visitor.page.wait_for_url("**/actions?since=*")
    visitor.settle()
    assert len(visitor.ids()) == counted > 0


def test_times_are_in_the_viewers_zone_with_utc_on_hover(
    visit: Callable[..., Visitor], lived_in: Inhabitant
) -> None:
    """Also on the first page, where the server does not know the zone yet."""
    visitor = visit(lived_in.secret, timezone_id="Asia/Tokyo")
    visitor.open("/actions")
    first = visitor.page.locator("tr.row time").first
    utc = datetime.fromisoformat(first.get_attribute("datetime") or "")
    tokyo = utc + timedelta(hours=9)
    assert first.inner_text().startswith(f"{tokyo:%b %d, %H:%M:%S}")
    assert (first.get_attribute("title") or "").startswith(f"{utc:%Y-%m-%d %H:%M:%S}")


def test_who_has_no_record_is_told_how_to_make_the_first(
    visit: Callable[..., Visitor], site: World
) -> None:
    """An empty page teaches."""
    visitor = visit(site.settle().secret)
    for path in ("/", "/actions"):
        visitor.open(path)
        assert "curl -X POST" in visitor.text()
        assert visitor.violations() == []
    visitor.open("/audits?user_id=nobody")
    assert "No audit matches" in visitor.text()

"""What people do on the pages, in a real browser: export, watch, give keys, keep views, embed."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

from app.pipeline import exporting
from tests.support.browser import Visitor
from tests.support.watching import Watch
from tests.support.world import Inhabitant, World, action, audit


def test_a_list_is_exported_and_the_file_has_its_records(
    visit: Callable[..., Visitor], site: World, lived_in: Inhabitant
) -> None:
    """From the filters as they stand; the page tells when it is ready, without being loaded."""
    visitor = visit(lived_in.secret)
    visitor.open("/actions?status=timeout")
    listed = visitor.ids()
    visitor.page.click("#results a:has-text('Export')")
    visitor.page.check("[value=jsonl]")
    visitor.page.click("button:has-text('Start export')")
    visitor.page.wait_for_selector("progress")
    assert visitor.violations() == []
    exporting.run_exports(site.maintenance, site.opsledger.settings)
    with visitor.page.expect_download() as download:
        visitor.page.click("a:has-text('Download') >> nth=0")
    lines = gzip.decompress(download.value.path().read_bytes()).splitlines()
    assert [json.loads(line)["id"] for line in lines] == listed
    assert len(listed) == 20


def test_an_alert_is_seen_looked_after_and_its_rule_changed(
    visit: Callable[..., Visitor], site: World
) -> None:
    """From the overview to the records; tried before it is saved."""
    who = site.settle()
    before = datetime.now(UTC) - timedelta(seconds=90)
    site.put(*(action(who.tenant_id, at=before, status="failure") for _ in range(12)))
    visitor = visit(who.secret)
    visitor.open("/alerts/rules/new")
    visitor.page.fill("[name=name]", "Twelve failures")
    visitor.page.fill("[name=threshold]", "11")
    visitor.page.click("text=Try on the last 7 days")
    assert "it would have fired 1 time" in visitor.text("#trial-title")
    visitor.page.click("button:has-text('Make rule')")
    Watch(site.maintenance, who.tenant_id).look(datetime.now(UTC))
    visitor.open("/")
    visitor.page.click(".firing a:has-text('Twelve failures')")
    visitor.page.click("button:has-text('Acknowledge')")
    assert "no more reminders" in visitor.text("[role=status]")
    visitor.page.select_option("[name=minutes]", "120")
    visitor.page.click("button:has-text('Silence')")
    text = visitor.text()
    assert "acknowledged" in text
    assert "silenced" in text
    assert visitor.page.locator(".record-ids a").count() == 10
    visitor.page.click(".record-ids a >> nth=0")
    assert visitor.path().startswith("/actions/")


def test_a_view_is_kept_shared_and_deleted(visit: Callable[..., Visitor], site: World) -> None:
    """As the list stands, also after a filter that only changed the URL."""
    who = site.settle()
    site.put(action(who.tenant_id, status="failure"), action(who.tenant_id))
    site.give_key(who.tenant_id, f"{who.secret}_2", ["logs:read"])
    visitor, colleague = visit(who.secret), visit(f"{who.secret}_2")
    visitor.open("/actions")
    visitor.page.click("label.choice:has-text('failure')")
    visitor.page.wait_for_selector(".said:has-text('failure')")
    visitor.page.click("summary:has-text('Views')")
    visitor.page.fill(".views [name=name]", "what <b>failed</b>")
    visitor.page.check("[name=shared]")
    assert visitor.violations() == []
    visitor.page.click(".views button:has-text('Keep')")
    visitor.page.wait_for_selector("text=View saved")
    assert len(visitor.ids()) == 1
    colleague.open("/actions")
    colleague.page.click("summary:has-text('Views')")
    colleague.page.click("a:has-text('what <b>failed</b>')")
    colleague.settle()
    assert "status=failure" in colleague.path()
    assert len(colleague.ids()) == 1
    visitor.page.click("summary:has-text('Views')")
    visitor.page.click("[aria-label^='Delete the view']")
    visitor.page.wait_for_selector("text=View deleted")
    assert who.get("/api/v1/views").json == []


def test_a_key_is_made_and_revoked_by_the_operator(
    visit: Callable[..., Visitor], site: World
) -> None:
    """Its secret works at once, and the page has no fault that axe finds."""
    who, operator = site.settle(), site.operator()
    visitor = visit(operator.secret)
    visitor.open(f"/keys?tenant={who.tenant_id}")
    assert visitor.violations() == []
    visitor.page.fill("[name=name]", "on call")
    visitor.page.click("button:has-text('Make key')")
    secret = visitor.text("#once")
    assert visitor.violations() == []
    guest = Inhabitant(who.tenant_id, "", secret, site.app.test_client())
    assert guest.get("/api/v1/logs/actions").status_code == 200
    visitor.page.click("tr:has-text('on call') button:has-text('Revoke')")
    visitor.page.wait_for_selector("text=Key revoked")
    assert "revoked" in visitor.text("tr:has-text('on call')")


def test_a_portal_shows_its_customer_their_part_in_a_frame(
    visit: Callable[..., Visitor], site: World, portal: str
) -> None:
    """Without a session; the frame of a site that is not named stays empty."""
    who = site.settle()
    site.put(
        audit(who.tenant_id, user_id="ada", changes={"before": {"a": 1}, "after": {"a": 2}}),
        audit(who.tenant_id, user_id="grace"),
    )
    link = who.post("/api/v1/viewer-links", json={"user_id": "ada"}).json["url"]
    visitor = visit()
    address = visitor.address + urlsplit(link).path
    visitor.page.goto(f"{portal}/?{quote(address)}")
    frame = visitor.page.frame_locator("iframe")
    frame.locator(".event-title").click()
    frame.locator("h2:has-text('What changed')").wait_for()
    assert frame.locator("a").count() == 2  # back, and the skip link
    thief = portal.replace("127.0.0.1", "localhost")
    visitor.page.goto(f"{thief}/?{quote(address)}")
    visitor.page.wait_for_timeout(300)
    assert frame.locator(".event-title").count() == 0
    assert any("frame-ancestors" in one for one in visitor.complaints)
    visitor.complaints.clear()
    visitor.open(urlsplit(link).path)
    assert visitor.violations() == []
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    assert visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0

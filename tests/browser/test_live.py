"""Live mode in a real browser: rows come by themselves, once, also after a cut."""

import time
from collections.abc import Callable

from tests.support.browser import Visitor
from tests.support.world import World, action, audit

LATE_S = 5.0  # far above what it takes on a quiet machine: RETRY_MS and a look


def test_new_records_come_by_themselves_newest_first_each_once(
    visit: Callable[..., Visitor], site: World
) -> None:
    """Also those of a page that was cut off meanwhile."""
    who = site.settle()
    site.put(action(who.tenant_id))
    visitor = visit(who.secret)
    visitor.open("/actions")
    assert len(visitor.ids()) == 1
    visitor.page.keyboard.press("l")
    visitor.page.wait_for_selector("[data-live][aria-pressed=true]")
    for _ in range(3):
        site.put(action(who.tenant_id))
        visitor.page.wait_for_timeout(300)
    visitor.page.wait_for_selector("tr.row >> nth=3")
    visitor.page.context.set_offline(True)
    site.put(*(action(who.tenant_id) for _ in range(150)))
    visitor.page.wait_for_timeout(700)
    visitor.page.context.set_offline(False)
    visitor.page.wait_for_selector("tr.row >> nth=153")
    visitor.page.wait_for_timeout(1000)
    listed = [row["id"] for row in who.get("/api/v1/logs/actions?limit=1000").json]
    assert sorted(visitor.ids()) == sorted(listed)
    assert len(listed) == 154
    visitor.complaints = [one for one in visitor.complaints if "ERR_INTERNET" not in one]


def test_a_filter_holds_for_what_comes(visit: Callable[..., Visitor], site: World) -> None:
    """And nothing of another tenant comes."""
    who, other = site.settle(), site.settle()
    site.put(audit(who.tenant_id, user_id="ada"))
    visitor = visit(who.secret)
    visitor.open("/audits?user_id=ada")
    visitor.page.click("[data-live]")
    started = time.monotonic()
    site.put(
        audit(other.tenant_id, user_id="ada"),
        audit(who.tenant_id, user_id="grace"),
        audit(who.tenant_id, user_id="ada", resource_id="<b>new</b>"),
    )
    visitor.page.wait_for_selector("tr.row.arrived")
    assert time.monotonic() - started < LATE_S
    assert len(visitor.ids()) == 2
    assert "<b>new</b>" in visitor.text("tr.arrived")


def test_a_view_that_ends_in_the_past_is_not_followed(
    visit: Callable[..., Visitor], site: World
) -> None:
    """It says what to do."""
    visitor = visit(site.settle().secret)
    visitor.open("/actions?until=2026-01-01T00:00:00Z")
    visitor.page.click("[data-live]")
    visitor.page.wait_for_selector("#toast.shown")
    assert "choose an open period" in visitor.text("#toast")

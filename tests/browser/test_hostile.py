"""What records hold is text, whatever it looks like."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from app.domain.records import Record
from tests.support.browser import Visitor
from tests.support.watching import Watch
from tests.support.world import World, action, audit

HOSTILE = (
    "<script>window.owned = 1</script>",
    "\"><img src=x onerror='window.owned = 1'>",
    "</script><svg onload=window.owned=1>",
    "javascript:window.owned=1//",
    "{{ 7 * 7 }}${7*7}<%= 7*7 %>",
    "' onfocus=window.owned=1 autofocus x='",
    "</textarea></template><iframe srcdoc='<script>parent.owned=1</script>'>",
    "\u202egpj.exe \u2028 \\u003cb\\u003e &lt;b&gt;",
    "<a href=javascript:window.owned=1 hx-get=/sign-out hx-trigger=load>x</a>",
)


def written(text: str) -> str:
    """As it stands on a page, where runs of spaces are one."""
    return " ".join(text.split())


def test_hostile_strings_in_any_field_are_text(visit: Callable[..., Visitor], site: World) -> None:
    """On every page that shows a field; nothing of it runs, nothing of it becomes markup."""
    who = site.settle()
    every = {text: [text, {text: text}] for text in HOSTILE}
    made = [records_of(who.tenant_id, place, every) for place in range(len(HOSTILE))]
    site.put(*(record for pair in made for record in pair))
    visitor = visit(who.secret)
    act, change = made[0]
    seen = ""
    paths = ["/", "/actions", "/audits", "/analytics"]
    for path in [*paths, f"/actions/{act.id}", f"/audits/{change.id}"]:
        visitor.open(path)
        seen += check(visitor, path)
    for link in (
        ".facts a[href^='/operations/']",
        ".course a[href^='/audits/']",
        ".facts a[href^='/users/']",
        ".event-head a[href^='/resources/']",
    ):
        visitor.page.click(f"{link} >> nth=0")
        visitor.settle()
        seen += check(visitor, link)
    for text in HOSTILE:
        assert written(seen).count(written(text)) >= 9, text


def test_hostile_names_of_alerts_views_keys_exports_and_links_are_text(
    visit: Callable[..., Visitor], site: World
) -> None:
    """What people name things, on every page that shows it, the frames of viewer links too."""
    who, operator = site.settle(), site.operator()
    for place, text in enumerate(HOSTILE):
        act, change = records_of(who.tenant_id, place, {text: text})
        site.put(act, change)
        filters = {"provider_name": [text[:100]]}
        rule = {"name": text[:100], "kind": "action", "figure": "count", "threshold": 0}
        rule |= {"window_s": 300, "filters": filters, "group_by": "provider_name"}
        made = who.post("/api/v1/alerts/rules", json=rule)
        assert made.status_code == 201, made.text
        hook = {"name": text[:100], "kind": "webhook", "target": "https://example.com/"}
        assert who.post("/api/v1/alerts/channels", json=hook).status_code == 201
        view = {"name": text[:100], "log": "actions", "query": f"q={text}&x=\"'><b>"}
        assert who.post("/api/v1/views", json=view).status_code == 201
        site.give_key(who.tenant_id, f"ops_{place}_{who.secret}", ["logs:read"], name=text[:100])
    who.post("/api/v1/exports", json={"kind": "action", "filters": filters})
    Watch(site.maintenance, who.tenant_id).look(datetime.now(UTC))
    alert = who.get("/api/v1/alerts").json[0]
    link = who.post("/api/v1/viewer-links", json={"user_id": HOSTILE[0]}).json["url"]
    visitor = visit(who.secret)
    rule_path = f"/alerts/rules/{alert['rule_id']}"
    query = urlencode({"log": "audits", "user_id": HOSTILE[1], "q": HOSTILE[2]})
    seen = ""
    for path in ("/", "/alerts", f"/alerts/{alert['id']}", rule_path, "/alerts/channels"):
        visitor.open(path)
        seen += check(visitor, path)
    for path in ("/exports", f"/exports/new?{query}", "/analytics", urlsplit(link).path):
        visitor.open(path)
        seen += check(visitor, path)
    visitor.page.click(".event-title")
    seen += check(visitor, "a record by the link")
    visitor.open("/actions")
    visitor.page.click("summary:has-text('Views')")
    visitor.page.wait_for_selector(".view-line")
    seen += check(visitor, "views")
    keeper = visit(operator.secret)
    keeper.open(f"/keys?tenant={who.tenant_id}")
    seen += check(keeper, "keys")
    for text in HOSTILE:
        assert written(seen).count(written(text)) >= 4, text


def records_of(tenant_id: UUID, place: int, every: dict[str, Any]) -> tuple[Record, Record]:
    """An action and an audit log, whose every field holds one of the strings."""
    text = HOSTILE[place]
    common: dict[str, Any] = {"operation_id": text, "metadata": every}
    act = action(
        tenant_id,
        provider_name=text[:100],
        status="failure",
        error_message=text,
        request_payload=every,
        response_data=[text],
        **common,
    )
    change = audit(
        tenant_id,
        user_id=text,
        action=text[:100],
        resource_type=text[:100],
        resource_id=text,
        user_agent=text,
        ip_address=text[:45],
        changes={"before": every, "after": {text: text}},
        **common,
    )
    return act, change


def check(visitor: Visitor, path: str) -> str:
    """What the page shows; nothing of the record may have become more than text."""
    assert visitor.page.evaluate("window.owned") is None, path
    foreign = (
        "img, iframe, main script:not([type='application/json']), [onerror], [onload], [onfocus]"
    )
    assert visitor.page.locator(foreign).count() == 0, path
    assert visitor.page.locator("a[href^='javascript:' i]").count() == 0, path
    assert visitor.page.locator("main :is([hx-get='/sign-out'])").count() == 0, path
    return visitor.text()

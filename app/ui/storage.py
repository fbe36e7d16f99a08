"""Storage: where records are kept, and for how long."""

from typing import Any

from ..auth import current_principal
from ..domain.access import Scope
from .client import ask
from .columns import TABLES
from .pages import Page, page, pages_named, render

blueprint = pages_named("storage_pages")


@blueprint.get("/storage")
@page()
def show_storage() -> Page:
    """What of each log is in the database or archived; for an operator, how full that is."""
    kept = [_kept(name) for name in TABLES]
    return render("storage.html", here="storage", kept=kept, report=_report())


def _report() -> dict[str, Any] | None:
    """What the logs take, by tenant and month; None for whom the endpoint is not."""
    principal = current_principal()
    if principal is None or not principal.of_operator or Scope.ADMIN not in principal.scopes:
        return None
    report: dict[str, Any] = ask("/admin/storage").body
    tenants = ask("/admin/tenants", [("limit", "1000")]).body
    slugs = {tenant["id"]: tenant["slug"] for tenant in tenants}
    for usage in report["usages"]:
        usage["tenant"] = slugs.get(usage["tenant_id"], usage["tenant_id"])
    report["usages"].sort(key=lambda usage: (usage["month"], usage["hot_rows"]), reverse=True)
    return report


def _kept(name: str) -> dict[str, Any]:
    """A log's newest record, and until when its records are archived."""
    newest = ask(f"/logs/{name}", [("limit", "1")])
    return {
        "table": TABLES[name],
        "newest": newest.body[0]["created_at"] if newest.body else None,
        "archived_until": newest.headers.get("X-Archived-Until"),
    }

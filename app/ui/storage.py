"""Storage: where records are kept, and for how long."""

from typing import Any

from .client import ask
from .columns import TABLES
from .pages import Page, page, pages_named, render

blueprint = pages_named("storage_pages")


@blueprint.get("/storage")
@page()
def show_storage() -> Page:
    """What of each log is in the database, and what in the archive."""
    return render("storage.html", here="storage", kept=[_kept(name) for name in TABLES])


def _kept(name: str) -> dict[str, Any]:
    """A log's newest record, and until when its records are archived."""
    newest = ask(f"/logs/{name}", [("limit", "1")])
    return {
        "table": TABLES[name],
        "newest": newest.body[0]["created_at"] if newest.body else None,
        "archived_until": newest.headers.get("X-Archived-Until"),
    }

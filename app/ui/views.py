"""Views: a list as it stands, kept by a name; shown where lists are."""

from urllib.parse import parse_qsl, urlencode

import flask

from ..domain.access import Scope
from .client import ask, tell
from .columns import TABLES
from .pages import Page, form, lead_to, page, pages_named, render

blueprint = pages_named("views_pages")

PASSING = frozenset({"done", "after", "from"})  # of a URL, what no view keeps


@blueprint.get("/views/<any(actions, audits):name>")
@page()
def show_views(name: str) -> Page:
    """The menu of a list: its views, and how to keep this one."""
    views = [view for view in ask("/views").body if view["log"] == name]
    return render("views.html", table=TABLES[name], views=views)


@blueprint.post("/views/<any(actions, audits):name>")
@form(Scope.LOGS_READ)
def save_view(name: str) -> Page:
    """Keep the list as it stands."""
    sent = flask.request.form
    query = urlencode([pair for pair in parse_qsl(sent.get("query", "")) if pair[0] not in PASSING])
    wanted = {"name": sent.get("name", "").strip(), "log": name, "query": query}
    tell("POST", "/views", {**wanted, "shared": "shared" in sent})
    return lead_to(f"/{name}?{query}" if query else f"/{name}", "view-saved")


@blueprint.post("/views/<any(actions, audits):name>/<view_id>/delete")
@form(Scope.LOGS_READ)
def delete_view(name: str, view_id: str) -> Page:
    """Delete a view."""
    tell("DELETE", f"/views/{view_id}")
    return lead_to(f"/{name}", "view-deleted")

"""Histories: all that happened to a resource, all that a user did, the course of an operation."""

from typing import Any
from urllib.parse import urlencode

import flask

from .client import Answer, ask
from .diff import altered, of_changes
from .pages import Page, page, pages_named, render
from .records import on_a_line
from .wording import is_withheld

blueprint = pages_named("trails")

ROWS_SHOWN = 30
OPERATION_ROWS = 500


@blueprint.get("/resources/<resource_type>/<rest:resource_id>")
@page()
def show_resource(resource_type: str, resource_id: str) -> Page:
    """A resource: every change of it, newest first."""
    answer = ask(f"/logs/audits/resource/{resource_type}/{resource_id}", paged(ROWS_SHOWN))
    return _history(
        answer,
        title=resource_id,
        kind=resource_type,
        people=True,
        listed=[("resource_type", resource_type), ("resource_id", resource_id)],
    )


@blueprint.get("/users/<rest:user_id>")
@page()
def show_user(user_id: str) -> Page:
    """A user: every change that they made, newest first."""
    answer = ask("/logs/audits", [("user_id", user_id), *paged(ROWS_SHOWN)])
    return _history(answer, title=user_id, kind="user", people=False, listed=[("user_id", user_id)])


@blueprint.get("/operations/<rest:operation_id>")
@page()
def show_operation(operation_id: str) -> Page:
    """An operation: its attempts, its outcome and what it changed, oldest first."""
    asked = [("limit", str(OPERATION_ROWS))]
    records = on_a_line(ask(f"/logs/operations/{operation_id}", asked).body)
    return render("operation.html", here="actions", operation_id=operation_id, operation=records)


def paged(rows: int) -> list[tuple[str, str]]:
    """The page of so many rows that the URL asks for."""
    after = flask.request.args.get("after")
    return [("limit", str(rows)), *([("after", after)] if after else [])]


def with_differences(rows: list[dict[str, Any]]) -> None:
    """Add to each audit what it changed, or that it is withheld."""
    for row in rows:
        row["withheld"] = is_withheld(row["changes"])
        row["differences"] = [] if row["withheld"] else altered(of_changes(row["changes"]))


def _history(answer: Answer, **values: Any) -> Page:
    rows: list[dict[str, Any]] = answer.body
    with_differences(rows)
    template = "history_rows.html" if flask.request.args.get("after") else "history.html"
    query = urlencode(values.pop("listed"))
    return render(template, here="audits", rows=rows, after=answer.after, query=query, **values)

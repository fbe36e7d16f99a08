"""Exports: what is asked for, from the filters of a list; how far it is; and the file."""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import flask

from ..domain.access import Scope
from ..domain.exports import ExportFormat
from .client import ask, tell
from .columns import TABLES, Table
from .lists import is_path
from .pages import Page, form, lead_to, page, pages_named, render

blueprint = pages_named("exports_pages")

KINDS = {"actions": "action", "audits": "audit"}
OPEN = ("pending", "running")
LISTS = frozenset({"action_type", "status", "provider_name"})  # filters with several values
NUMBERS = frozenset({"min_execution_time_ms"})
FORMATS = {
    ExportFormat.CSV.value: "CSV, for spreadsheets",
    ExportFormat.JSONL.value: "JSON lines, with all that is nested",
    ExportFormat.PARQUET.value: "Parquet, for data tools",
}


@blueprint.get("/exports")
@page(Scope.LOGS_EXPORT)
def show_exports() -> Page:
    """The newest exports; the page looks again while one is not finished."""
    found = ask("/exports").body
    for one in found:
        one["said"] = _said(one["filters"])
        one["path"] = _path_of(one["url"])
    waiting = any(one["state"] in OPEN for one in found)
    return render("exports.html", here="exports", found=found, waiting=waiting)


@blueprint.get("/exports/new")
@page(Scope.LOGS_EXPORT)
def show_new_export() -> Page:
    """What an export of a list's filters takes, and as what."""
    table = _table()
    asked = [(name, value) for name, value in parse_qsl(flask.request.query_string.decode())]
    kept = [(name, value) for name, value in asked if _is_exported(table, name)]
    left = [(name, value) for name, value in asked if name == "q" or is_path(table, name)]
    return render(
        "export_new.html",
        here="exports",
        table=table,
        kept=kept,
        left=left,
        query=urlencode(kept),
        formats=FORMATS,
        archived=("include", "archived") in asked,
    )


@blueprint.post("/exports")
@form(Scope.LOGS_EXPORT)
def request_export() -> Page:
    """Ask for one."""
    sent = flask.request.form
    table = _table()
    wanted = {
        "kind": KINDS[table.name],
        "format": sent.get("format", ""),
        "filters": _filters(parse_qsl(sent.get("query", ""))),
        "include_archived": "include_archived" in sent,
    }
    tell("POST", "/exports", wanted)
    return lead_to("/exports", "asked")


def _table() -> Table:
    table = TABLES.get(flask.request.values.get("log", ""))
    if table is None:
        flask.abort(404, "There is no such log.")
    return table


def _is_exported(table: Table, name: str) -> bool:
    """Whether an export knows this filter: it does not look into content."""
    return name in table.parameters - {"q", "include"}


def _filters(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Filters of a URL as the API takes those of an export."""
    filters: dict[str, Any] = {}
    for name, value in pairs:
        if name in LISTS:
            filters.setdefault(name, []).append(value)
        else:
            filters[name] = int(value) if name in NUMBERS and value.isdecimal() else value
    return filters


def _said(filters: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, str(one))
        for name, value in filters.items()
        for one in (value if isinstance(value, list) else [value])
    ]


def _path_of(url: str | None) -> str | None:
    """A signed link without the host, which the browser knows better."""
    parts = urlsplit(url or "")
    return f"{parts.path}?{parts.query}" if url else None

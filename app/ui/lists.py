"""The lists of actions and audits: filters in the URL, pages by cursor, rows as they arrive."""

import shlex
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import flask

from ..domain.identity import format_time
from .client import BASE, ApiProblem, ask
from .columns import TABLES, Table
from .diff import altered, of_changes
from .pages import Page, page, pages_named, render
from .period import LENGTHS, read_period

blueprint = pages_named("lists")

ROWS_SHOWN = 50
CHANGES_SHOWN = 3  # of an audit, in its row
# Of a URL, what is not a filter of the API.
PRESENTATION = frozenset({"columns", "after", "period", "from", "done"})
SUGGESTED_MAX = 200
OVERLAP_S = 60  # before a page was made: records on their way then; rows shown are told by id

Parameters = list[tuple[str, str]]


@blueprint.get("/<any(actions, audits):name>")
@page()
def show_list(name: str) -> Page:
    """A log, newest first; htmx asks for its rows alone."""
    table = TABLES[name]
    asked = asked_of(table)
    columns = columns_of(table)
    shown: dict[str, Any] = {"rows": [], "after": None, "reached": None, "problem": None}
    try:
        shown.update(_read(table, asked))
    except ApiProblem as problem:
        if problem.status != 400:
            raise
        shown["problem"] = problem
    filtered = [(key, value) for key, value in asked if key != "limit"]
    template = "rows.html" if flask.request.args.get("after") else "list.html"
    shown["next"] = urlencode(
        [*filtered, ("columns", ",".join(columns)), ("after", shown["after"] or "")]
    )
    return render(
        template,
        here=name,
        table=table,
        columns=columns,
        filtered=filtered,
        query=urlencode(filtered),
        values=_values(_chosen(filtered)),
        said=_said(filtered),
        paths=[(k, v) for k, v in filtered if is_path(table, k)],
        curl=curl_of(table, filtered),
        period=_period(),
        live=_live_url(table, asked, columns),
        periods=LENGTHS,
        **shown,
    )


@blueprint.get("/suggestions/<any(actions, audits):name>")
@page()
def show_suggestions(name: str) -> Page:
    """The values that exist, for the fields of the filter bar."""
    return render("suggestions.html", table=TABLES[name], found=_suggestions(name))


def asked_of(table: Table) -> Parameters:
    """What the URL asks of the API; empty fields of the form ask nothing."""
    arguments = flask.request.args
    asked = [
        (name, value.strip())
        for name, value in arguments.items(multi=True)
        if value.strip() and name not in PRESENTATION
    ]
    asked = _with_paths(table, asked)
    if _period():
        asked += read_period(arguments).window
    return asked


def is_path(table: Table, name: str) -> bool:
    """Whether a parameter is a filter by JSON path."""
    return any(name.startswith(f"{root}.") for root in table.paths)


def curl_of(table: Table, filtered: Parameters) -> str:
    """The same request as a command line; the key stays a variable."""
    url = f"{flask.request.host_url.rstrip('/')}{BASE}/logs/{table.name}"
    query = f"?{urlencode(filtered)}" if filtered else ""
    return f'curl {shlex.quote(url + query)} -H "X-API-Key: $OPSLEDGER_KEY"'


def _with_paths(table: Table, asked: Parameters) -> Parameters:
    """The form's pair of a path and its value as the one parameter that the API knows."""
    given = dict(asked)
    path, value = given.get("path", ""), given.get("path_value", "")
    kept = [(k, v) for k, v in asked if k not in ("path", "path_value")]
    return [*kept, (path, value)] if path and value and is_path(table, path) else kept


def _read(table: Table, asked: Parameters) -> dict[str, Any]:
    after = flask.request.args.get("after")
    paged = [*asked, ("limit", str(ROWS_SHOWN)), *([("after", after)] if after else [])]
    answer = ask(f"/logs/{table.name}", paged)
    rows = answer.body
    with_differences(table, rows)
    return {
        "rows": rows,
        "after": answer.after,
        "reached": answer.headers.get("X-Search-Reached"),
    }


def with_differences(table: Table, rows: list[dict[str, Any]]) -> None:
    """Add to each audit what of its changes stands in its row."""
    if table.name == "audits":
        for row in rows:
            found = altered(of_changes(row["changes"]))
            row["differences"], row["more"] = found[:CHANGES_SHOWN], len(found) - CHANGES_SHOWN


def columns_of(table: Table) -> list[str]:
    """The columns that the URL chooses, or the usual ones."""
    wanted = flask.request.args.get("columns", "").split(",")
    chosen = [column.name for column in table.columns if column.name in wanted]
    return chosen or [column.name for column in table.columns if column.shown]


def _live_url(table: Table, asked: Parameters, columns: list[str]) -> str:
    """Where new rows of this list come from; nowhere if it ends in the past."""
    start = live_from(asked)
    kept = [(name, value) for name, value in asked if name != "since"]
    query = urlencode([*kept, ("columns", ",".join(columns)), ("from", start or "")])
    return f"/live/{table.name}?{query}" if start else ""


def live_from(asked: Parameters) -> str | None:
    """The moment from which a list can be followed; None if it ends in the past."""
    given = dict(asked)
    if "until" in given:
        return None
    recent = format_time(datetime.now(UTC) - timedelta(seconds=OVERLAP_S))
    return max(given.get("since", recent), recent)


def _chosen(filtered: Parameters) -> Parameters:
    """The filters that were chosen one by one: not the ends of a named period."""
    if not _period():
        return filtered
    return [(name, value) for name, value in filtered if name not in ("since", "until")]


def _said(filtered: Parameters) -> Parameters:
    """The filters as the page names them."""
    period = _period()
    return [*_chosen(filtered), *([("last", period)] if period else [])]


def _period() -> str:
    """The name of the period, if one was chosen and not its ends."""
    arguments = flask.request.args
    name = arguments.get("period", "")
    return name if name in LENGTHS and not arguments.get("since") else ""


def _values(filtered: Parameters) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in filtered:
        values.setdefault(name, []).append(value)
    return values


def _suggestions(name: str) -> dict[str, list[str]]:
    if name == "actions":
        statistics = ask("/logs/stats").body
        found = {
            "types": list(statistics["actions_by_type"]),
            "providers": list(statistics["actions_by_provider"]),
        }
    else:
        activity = ask("/logs/analytics/user-activity", [("limit", "1000")]).body
        sources = {"users": "user_id", "actions": "action", "resources": "resource_type"}
        found = {
            source: [row[field] for row in activity if row[field]]
            for source, field in sources.items()
        }
    return {source: sorted(set(values))[:SUGGESTED_MAX] for source, values in found.items()}

"""The page of one record: all that is known of it, and what happened around it."""

import contextlib
from datetime import datetime, timedelta
from typing import Any

import flask

from ..domain.identity import format_time
from .client import BASE, ApiProblem, ask
from .diff import of_changes
from .pages import Page, page, pages_named, render
from .wording import is_withheld, moment_of

blueprint = pages_named("records")

NEIGHBOURS = 4  # on either side
# The list is newest first, so its nearer end is found by windows that grow until they hold enough.
WINDOWS_S = (0.05, 1, 30, 900, 86_400)
WINDOW_ROWS = 200
TRAIL_ROWS = 50
OPERATION_ROWS = 100


@blueprint.get("/actions/<record_id>")
@page()
def show_action(record_id: str) -> Page:
    """An action log: request, response, its operation, its neighbours in time."""
    record = ask(f"/logs/actions/{record_id}").body
    return render(
        "action.html",
        here="actions",
        record=record,
        operation=operation_of(record),
        neighbours=_neighbours("actions", record),
        curl=_curl("actions", record),
    )


@blueprint.get("/audits/<record_id>")
@page()
def show_audit(record_id: str) -> Page:
    """An audit log: what changed, its operation, and the whole trail of its resource."""
    record = ask(f"/logs/audits/{record_id}").body
    trail = ask(
        f"/logs/audits/resource/{record['resource_type']}/{record['resource_id']}",
        [("limit", str(TRAIL_ROWS))],
    )
    withheld = is_withheld(record["changes"])
    return render(
        "audit.html",
        here="audits",
        record=record,
        withheld=withheld,
        differences=[] if withheld else of_changes(record["changes"]),
        trail=trail.body,
        more=trail.after is not None,
        steps=_steps(trail.body, record["id"]),
        operation=operation_of(record),
        neighbours=_neighbours("audits", record),
        curl=_curl("audits", record),
    )


def operation_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of the same operation, each with where it stands in its course."""
    if not record["operation_id"]:
        return []
    with contextlib.suppress(ApiProblem):
        asked = [("limit", str(OPERATION_ROWS))]
        return on_a_line(ask(f"/logs/operations/{record['operation_id']}", asked).body)
    return []


def on_a_line(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records, oldest first, with the part of the whole course that each of them took.

    A record is made when its call has ended, so it began its duration before.
    """
    ends = [moment_of(record["created_at"]) for record in records]
    lengths = [timedelta(milliseconds=r.get("execution_time_ms") or 0) for r in records]
    starts = [end - length for end, length in zip(ends, lengths, strict=True)]
    if not starts:
        return []
    first = min(starts)
    whole = max((max(ends) - first).total_seconds(), 0.001)
    for record, start, length in zip(records, starts, lengths, strict=True):
        offset = (start - first).total_seconds()
        record["offset_s"] = offset
        record["x"] = round(offset / whole * 100, 2)
        record["width"] = round(max(length.total_seconds() / whole * 100, 0.6), 2)
        record["x"] = min(record["x"], 100 - record["width"])
    return records


def _neighbours(name: str, record: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The records right before and right after one, newest first."""
    until = record["created_at"]
    path = f"/logs/{name}"
    earlier = ask(path, [("until", until), ("limit", str(NEIGHBOURS))]).body
    return {"later": _later(path, record), "earlier": earlier}


def _later(path: str, record: dict[str, Any]) -> list[dict[str, Any]]:
    since = moment_of(record["created_at"])
    best: list[dict[str, Any]] = []
    for seconds in WINDOWS_S:
        asked = [("since", record["created_at"]), ("until", _plus(since, seconds))]
        answer = ask(path, [*asked, ("limit", str(WINDOW_ROWS))])
        rows = [row for row in answer.body if row["id"] != record["id"]]
        if answer.after is not None and best:
            break  # more than a page: the narrower window was the better one
        best = rows
        if len(best) >= NEIGHBOURS:
            break
    return best[-NEIGHBOURS:]


def _plus(moment: datetime, seconds: float) -> str:
    return format_time(moment + timedelta(seconds=seconds))


def _steps(trail: list[dict[str, Any]], record_id: str) -> dict[str, Any]:
    """The changes of the same resource before and after this one."""
    ids = [row["id"] for row in trail]
    if record_id not in ids:
        return {}
    at = ids.index(record_id)
    return {
        "number": at + 1,
        "of": len(ids),
        "newer": ids[at - 1] if at else None,
        "older": ids[at + 1] if at + 1 < len(ids) else None,
    }


def _curl(name: str, record: dict[str, Any]) -> str:
    url = f"{flask.request.host_url.rstrip('/')}{BASE}/logs/{name}/{record['id']}"
    return f'curl {url} -H "X-API-Key: $OPSLEDGER_KEY"'

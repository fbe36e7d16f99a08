"""Live rows: what was committed since the last look, as server-sent events that repeat none.

Each answer ends at once, and its event names the cursor of the API's tail, by which the browser
comes back: so no thread is held, and a page that was cut off goes on where it was.
"""

from typing import Any

import flask

from .client import ask
from .columns import TABLES, Table
from .lists import Parameters, asked_of, columns_of, with_differences
from .pages import Page, current_zone, page, pages_named, protect

blueprint = pages_named("live")

RETRY_MS = 400  # until the browser asks again: what live costs, and how late a row may be
ROWS_MAX = 100  # of one event; what is more follows at once


@blueprint.get("/live/<any(actions, audits):name>")
@page()
def show_new_rows(name: str) -> Page:
    """The rows of a log that match the URL's filters and were committed after Last-Event-ID."""
    table = TABLES[name]
    after = flask.request.headers.get("Last-Event-ID", "") or flask.request.args.get("after", "")
    asked = [*_of_now(asked_of(table)), ("order", "commit"), ("limit", str(ROWS_MAX))]
    answer = ask(f"/logs/{name}", [*asked, *([("after", after)] if after else [])])
    more = answer.headers.get("X-Tail-End") == "false"
    event = _event(table, answer.body, answer.after or "", 0 if more else RETRY_MS)
    return protect(flask.Response(event, mimetype="text/event-stream"))


def _of_now(asked: Parameters) -> Parameters:
    """The filters, from the moment at which the page was made: the cursor is bound to it."""
    start = flask.request.args.get("from", "")
    kept = [(name, value) for name, value in asked if name not in ("since", "include")]
    return [*kept, ("since", start)]


def _event(table: Table, rows: list[dict[str, Any]], cursor: str, retry_ms: int) -> str:
    """One event: the rows as HTML, the newest first."""
    lines = [f"retry: {retry_ms}", f"id: {cursor}"]
    if rows:
        with_differences(table, rows)
        html = flask.render_template(
            "ui/rows.html",
            rows=rows[::-1],
            columns=columns_of(table),
            table=table,
            after=None,
            arriving=True,
            zone=current_zone().key,
        )
        lines += ["event: rows", *(f"data: {line}" for line in html.splitlines() if line.strip())]
    else:
        lines += ["event: none", "data:"]
    return "\n".join(lines) + "\n\n"

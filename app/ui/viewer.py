"""What a viewer link shows, in a frame of another site: records of its filters, and nothing else.

No session and no cookie is looked at; each request is the link's alone, and asks the API as the key
that made it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import flask

from .. import errors
from ..auth import KEY_DIGEST, authorize
from ..domain.access import Scope
from ..domain.identity import read_uuid
from ..viewing import ANCESTORS, EXTENSION, PATH, Viewer
from .client import ApiProblem, ask
from .diff import of_changes
from .pages import POLICY, Page, pages_named, render, show_problem
from .trails import ROWS_SHOWN, paged, with_differences
from .wording import is_withheld

blueprint = pages_named("viewer")

ENDED = "This link has ended, or is not whole. Load the page anew that showed it to you."


def viewed(view: Callable[..., Page]) -> Callable[..., Any]:
    """Let a page be seen by who has a link that still works; it gets what the link stands for."""

    @wraps(view)
    def guarded(token: str, **values: Any) -> Any:
        viewer = flask.current_app.extensions[EXTENSION].read(token, datetime.now(UTC))
        if viewer is None:
            return _framed(*show_problem(404, ENDED, alone=True))
        flask.request.environ[KEY_DIGEST] = viewer.key_digest
        try:
            authorize(Scope.LOGS_READ, counted=False)
            return _framed(view(viewer, base=f"{PATH}/{token}", **values))
        except (errors.Unauthenticated, errors.Forbidden):
            return _framed(*show_problem(404, ENDED, alone=True))
        except ApiProblem as problem:
            return _framed(*show_problem(problem.status, problem.detail, alone=True))

    guarded.required_scope = Scope.LOGS_READ  # type: ignore[attr-defined]
    guarded.leaves_nothing = "pages only read"  # type: ignore[attr-defined]
    return guarded


@blueprint.get(f"{PATH}/<token>")
@viewed
def show_viewer(viewer: Viewer, base: str) -> Page:
    """The link's records, newest first, as a timeline."""
    answer = ask("/logs/audits", [*viewer.filters, *paged(ROWS_SHOWN)])
    with_differences(answer.body)
    return render(
        "history_rows.html" if flask.request.args.get("after") else "viewer.html",
        rows=answer.body,
        after=answer.after,
        base=base,
        people=any(name == "resource_id" for name, _ in viewer.filters),
        filters=viewer.filters,
        viewer=viewer,
    )


@blueprint.get(f"{PATH}/<token>/<record_id>")
@viewed
def show_viewed(viewer: Viewer, base: str, record_id: str) -> Page:
    """One of the link's records; any other is not found."""
    missing = "There is no such record here."
    if read_uuid(record_id) is None:
        raise ApiProblem(404, {"detail": missing})
    record = ask(f"/logs/audits/{record_id}", [("include", "archived")]).body
    if any(record[name] != value for name, value in viewer.filters):
        raise ApiProblem(404, {"detail": missing})
    withheld = is_withheld(record["changes"])
    return render(
        "viewer_record.html",
        record=record,
        base=base,
        withheld=withheld,
        differences=[] if withheld else of_changes(record["changes"]),
    )


def _framed(shown: Any, status: int | None = None) -> flask.Response:
    """A page that may be framed where the platform says."""
    response = flask.make_response(shown)
    response.status_code = status or response.status_code
    named: tuple[str, ...] = flask.current_app.extensions[ANCESTORS]
    ancestors = " ".join(named) or "'none'"
    response.headers["Content-Security-Policy"] = POLICY.replace(
        "frame-ancestors 'none'", f"frame-ancestors {ancestors}"
    )
    return response

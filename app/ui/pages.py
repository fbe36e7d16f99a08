"""What all pages share: who may see them, their frame, their errors, their policy."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from .. import errors
from ..auth import KEY_DIGEST, authorize, current_principal
from ..domain.access import Scope
from ..telemetry import get_logger
from .client import ApiProblem
from .session import ForgedForm, SessionsClosed, check_form, current_session, end_session
from .wording import UTC_ZONE, zone_named

ZONE_COOKIE = "opsledger_zone"
THEME_COOKIE = "opsledger_theme"
THEMES = ("system", "light", "dark")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
NAVIGATION = (
    ("overview", "Overview", "/", "o"),
    ("actions", "Actions", "/actions", "a"),
    ("audits", "Audits", "/audits", "u"),
    ("analytics", "Analytics", "/analytics", "n"),
    ("alerts", "Alerts", "/alerts", "l"),
    ("exports", "Exports", "/exports", "e"),
    ("forwarding", "Forwarding", "/forwarding", "f"),
    ("storage", "Storage", "/storage", "s"),
    ("keys", "Keys", "/keys", "k"),
)
DONE = {
    "asked": "Export asked for. It is made now, and can be downloaded here once it is ready.",
    "acknowledged": "Acknowledged: there are no more reminders of this alert.",
    "silenced": "Silenced: nobody is told of this alert until then.",
    "rule-made": "Rule made. It is evaluated from now on.",
    "rule-changed": "Rule changed.",
    "rule-deleted": "Rule deleted, and its alerts ended.",
    "channel-made": "Channel made.",
    "channel-deleted": "Channel deleted.",
    "channel-tested": "A test message is on its way.",
    "key-revoked": "Key revoked. Every process knows within 5 s.",
    "destination-made": "Destination made. What is committed from now on is sent there.",
    "destination-changed": "Destination changed. It is tried at once.",
    "destination-paused": "Paused. What is committed meanwhile waits.",
    "destination-resumed": "It is sent to again, at once.",
    "destination-tested": "A test record is on its way. Load the page again to see the answer.",
    "destination-deleted": "Destination deleted.",
    "replay-asked": "The window is sent once more, beside what is new.",
    "letters-retried": "Sent again, at the destination's next turn.",
    "letters-dropped": "Forgotten. The records stay in the ledger.",
    "view-saved": "View saved.",
    "view-deleted": "View deleted.",
}
ADVICE = {
    400: "Change the filter that is named, or clear them all.",
    403: "Ask who gave you this key for one that has the scope.",
    404: "Records of other tenants look just like records that never were. Check the id, and"
    " whose key you are signed in with.",
    409: "Go back, look at what is there now, and decide again.",
    429: "Too many requests with this key. Wait a moment, then load the page again.",
    503: "The database is away or took too long. Nothing is lost: records wait on disk. Narrow the"
    " period, or try again in a few seconds.",
}

View = TypeVar("View", bound=Callable[..., Any])
Page = str | flask.Response | Response

log = get_logger(__name__)


def page(scope: Scope = Scope.LOGS_READ, *, leaves: str = "") -> Callable[[View], View]:
    """Let a page be seen only by who is signed in with a key that has the scope.

    Args:
        leaves: what it puts on record, if it does not only read.
    """

    def decorate(view: View) -> View:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            session = current_session()
            if session is None or session.digest is None:
                return to_sign_in()
            flask.request.environ[KEY_DIGEST] = session.digest
            try:
                authorize(scope, counted=False)
            except errors.Unauthenticated:
                return to_sign_in(ended=True)
            return view(*args, **kwargs)

        guarded.__name__, guarded.__doc__ = view.__name__, view.__doc__
        guarded.required_scope = scope  # type: ignore[attr-defined]
        guarded.leaves = leaves  # type: ignore[attr-defined]
        guarded.leaves_nothing = "" if leaves else "pages only read"  # type: ignore[attr-defined]
        return cast("View", guarded)

    return decorate


def form(scope: Scope) -> Callable[[View], View]:
    """Let a form be sent only from a page of a session whose key has the scope."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            check_form()
            return view(*args, **kwargs)

        return page(scope, leaves="what the call of the API leaves that it makes")(
            cast("View", checked)
        )

    return decorate


def lead_to(path: str, done: str = "") -> Response:
    """Go on to a page after a form, which then says what was done: one of DONE."""
    mark = "&" if "?" in path else "?"
    return flask.redirect(f"{path}{mark}done={done}" if done else path, 303)


def to_sign_in(*, ended: bool = False) -> Response:
    """Lead to the sign-in form, and from there back to the page that was asked for."""
    wanted = flask.request.full_path.rstrip("?") if flask.request.method == "GET" else "/"
    asked = {"next": wanted} if wanted != "/" and not is_fragment() else {}
    target = "/sign-in" + (
        f"?{urlencode({**asked, 'ended': '1'} if ended else asked)}" if asked or ended else ""
    )
    if is_fragment():
        response: Response = flask.Response("", headers={"HX-Redirect": target})
    else:
        response = flask.redirect(target)
    if ended:
        end_session(cast("flask.Response", response))
    return response


def is_fragment() -> bool:
    """Whether htmx asks for a part of the page that the browser shows."""
    return flask.request.headers.get("HX-Request") == "true"


def current_zone() -> ZoneInfo:
    """The viewer's time zone, as the browser told it."""
    return zone_named(flask.request.cookies.get(ZONE_COOKIE, "")) or UTC_ZONE


def render(template: str, **values: Any) -> flask.Response:
    """A page, or a part of one, with what every page shows."""
    principal, session = current_principal(), current_session()
    theme = flask.request.cookies.get(THEME_COOKIE, "")
    body = flask.render_template(
        f"ui/{template}",
        **{
            "navigation": NAVIGATION,
            "principal": principal,
            "is_admin": principal is not None
            and principal.of_operator
            and Scope.ADMIN in principal.scopes,
            "csrf": session.nonce if session else "",
            "zone": current_zone().key,
            "theme": theme if theme in THEMES else THEMES[0],
            "fragment": is_fragment(),
            "done": DONE.get(flask.request.args.get("done", "")),
            **values,
        },
    )
    return protect(flask.Response(body, mimetype="text/html"))


def protect(response: flask.Response) -> flask.Response:
    """Say what the browser may do with a page."""
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "HX-Request, Cookie"
    return response


def pages_named(name: str) -> flask.Blueprint:
    """A blueprint whose errors are answered with pages."""
    blueprint = flask.Blueprint(name, __name__)
    blueprint.register_error_handler(ApiProblem, _from_api)
    blueprint.register_error_handler(errors.OpsledgerError, _from_ours)
    blueprint.register_error_handler(HTTPException, _from_http)
    return blueprint


def show_problem(
    status: int, detail: str, *, alone: bool = False, **values: Any
) -> tuple[flask.Response, int]:
    """An error, with what to do about it.

    Args:
        alone: whether the page leads nowhere else.
    """
    template = "problem_alone.html" if alone else "problem.html"
    if is_fragment():
        template = "problem_part.html"
    values = {"advice": "" if alone else ADVICE.get(status, ""), **values}
    return render(template, status=status, detail=detail, **values), status


def _from_api(problem: ApiProblem) -> tuple[flask.Response, int]:
    return show_problem(
        problem.status, problem.detail, fields=problem.fields, request_id=problem.request_id
    )


def _from_ours(error: errors.OpsledgerError) -> tuple[flask.Response, int]:
    if isinstance(error, SessionsClosed | ForgedForm | errors.Forbidden):
        return show_problem(403, error.detail)
    if isinstance(error, errors.StoreUnavailable | errors.QueryTimeout):
        return show_problem(503, error.detail)
    raise error


def _from_http(error: HTTPException) -> tuple[flask.Response, int] | flask.Response:
    if (error.code or 500) < 400:  # a redirect
        return flask.make_response(error.get_response())
    return show_problem(error.code or 500, error.description or "")


def form_again(problem: ApiProblem, shown: flask.Response) -> flask.Response:
    """The form again, with what is wrong."""
    if problem.status not in (400, 409):
        raise problem
    shown.status_code = problem.status
    return shown

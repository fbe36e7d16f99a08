"""The pages of destinations: where records are sent on, how that goes, what can be done."""

from typing import Any

import flask
from werkzeug.datastructures import MultiDict

from ..domain.access import Scope
from .client import ApiProblem, ask, tell
from .destination_form import changes_of, fields_of, form_values, new_of, usual_fields
from .pages import Page, form, form_again, lead_to, page, pages_named, render

blueprint = pages_named("forwarding_page")

LETTERS_SHOWN = 50
COMMANDS = {
    "pause": "destination-paused",
    "resume": "destination-resumed",
    "test": "destination-tested",
}
LETTERS = {"retry": "letters-retried", "drop": "letters-dropped"}


@blueprint.get("/forwarding")
@page()
def show_forwarding() -> Page:
    """Every destination, with what it said last."""
    return render(
        "forwarding.html", here="forwarding", destinations=ask("/forwarding/destinations").body
    )


@blueprint.get("/forwarding/new")
@page(Scope.FORWARDING_WRITE)
def show_new_destination() -> Page:
    """The form of a sink, empty."""
    return _show_new(usual_fields(flask.request.args.get("sink", "")))


@blueprint.post("/forwarding/new")
@form(Scope.FORWARDING_WRITE)
def make_destination() -> Page:
    """Make a destination; the secret of a webhook is shown this once."""
    sent = flask.request.form
    try:
        made = tell("POST", "/forwarding/destinations", new_of(sent)).body
    except ApiProblem as problem:
        return form_again(problem, _show_new(sent, problem=problem))
    if made["secret"]:
        return _show(made["id"], made=made)
    return lead_to(f"/forwarding/{made['id']}", "destination-made")


@blueprint.get("/forwarding/<destination_id>")
@page()
def show_destination(destination_id: str) -> Page:
    """How one stands, what it refused, and what it is set to."""
    return _show(destination_id)


@blueprint.post("/forwarding/<destination_id>")
@form(Scope.FORWARDING_WRITE)
def change_destination(destination_id: str) -> Page:
    """Change what a destination is set to."""
    sent = flask.request.form
    path = f"/forwarding/destinations/{destination_id}"
    sink = ask(path).body["sink"]
    try:
        tell("PATCH", path, changes_of(sink, sent))
    except ApiProblem as problem:
        return form_again(problem, _show(destination_id, fields=sent, problem=problem))
    return lead_to(f"/forwarding/{destination_id}", "destination-changed")


@blueprint.post("/forwarding/<destination_id>/<any(pause, resume, test):command>")
@form(Scope.FORWARDING_WRITE)
def act_on_destination(destination_id: str, command: str) -> Page:
    """Pause it, go on with it, or send a test record."""
    tell("POST", f"/forwarding/destinations/{destination_id}/{command}")
    return lead_to(f"/forwarding/{destination_id}", COMMANDS[command])


@blueprint.post("/forwarding/<destination_id>/delete")
@form(Scope.FORWARDING_WRITE)
def delete_destination(destination_id: str) -> Page:
    """Delete a destination; nothing is sent there any more."""
    tell("DELETE", f"/forwarding/destinations/{destination_id}")
    return lead_to("/forwarding", "destination-deleted")


@blueprint.post("/forwarding/<destination_id>/replay")
@form(Scope.FORWARDING_WRITE)
def replay_window(destination_id: str) -> Page:
    """Send a window of time once more."""
    sent = {name: flask.request.form.get(name, "") for name in ("since", "until")}
    window = {name: value for name, value in sent.items() if value}
    try:
        tell("POST", f"/forwarding/destinations/{destination_id}/replay", window)
    except ApiProblem as problem:
        return form_again(problem, _show(destination_id, window=sent, problem=problem))
    return lead_to(f"/forwarding/{destination_id}", "replay-asked")


@blueprint.post("/forwarding/<destination_id>/dead-letters/<any(retry, drop):verb>")
@form(Scope.FORWARDING_WRITE)
def settle_letters(destination_id: str, verb: str) -> Page:
    """Send dead letters once more or forget them: the one that is named, or all."""
    chosen = {"ids": [one for one in (flask.request.form.get("letter"),) if one]}
    tell("POST", f"/forwarding/destinations/{destination_id}/dead-letters/{verb}", chosen)
    return lead_to(f"/forwarding/{destination_id}", LETTERS[verb])


def _show_new(fields: MultiDict[str, str], **more: Any) -> flask.Response:
    return render(
        "destination_new.html", here="forwarding", **form_values(fields["sink"], fields), **more
    )


def _show(
    destination_id: str, *, fields: MultiDict[str, str] | None = None, **more: Any
) -> flask.Response:
    path = f"/forwarding/destinations/{destination_id}"
    one = ask(path).body
    letters = ask(f"{path}/dead-letters", [("limit", str(LETTERS_SHOWN))])
    return render(
        "destination.html",
        here="forwarding",
        one=one,
        letters=letters.body,
        more_letters=letters.after is not None,
        **form_values(one["sink"], fields_of(one) if fields is None else fields),
        **{"window": {}, **more},
    )

"""Keys, for keys of the operator: list, issue, rotate and revoke them, by the admin endpoints."""

from typing import Any

import flask

from ..domain.access import Holder, Scope
from .client import ApiProblem, ask, tell
from .pages import Page, form, lead_to, page, pages_named, render

blueprint = pages_named("keys_pages")

TENANTS_SHOWN = 1000
KEYS_SHOWN = 200
OVERLAPS = (("86400", "works for another day"), ("604800", "for another week"), ("0", "ends now"))
USUAL_SCOPES = (Scope.LOGS_READ.value, Scope.LOGS_READ_PAYLOADS.value)


@blueprint.get("/keys")
@page(Scope.ADMIN)
def show_keys() -> Page:
    """The keys of one tenant."""
    return _show(flask.request.args.get("tenant", ""))


@blueprint.post("/keys")
@form(Scope.ADMIN)
def make_key() -> Page:
    """Make a key; its secret is on this answer and nowhere else."""
    sent = flask.request.form
    wanted: dict[str, Any] = {
        "tenant_id": sent.get("tenant", ""),
        "name": sent.get("name", "").strip(),
        "scopes": sent.getlist("scopes"),
        "holder": sent.get("holder", ""),
        "networks": [one.strip() for one in sent.get("networks", "").split(",") if one.strip()],
        "expires_at": sent.get("expires_at") or None,
    }
    try:
        made = tell("POST", "/admin/keys", wanted).body
    except ApiProblem as problem:
        if problem.status not in (400, 409):
            raise
        shown = _show(wanted["tenant_id"], sent=sent, chosen=wanted["scopes"], problem=problem)
        shown.status_code = problem.status
        return shown
    return _show(made["tenant_id"], made=made)


@blueprint.post("/keys/<key_id>/rotate")
@form(Scope.ADMIN)
def rotate_key(key_id: str) -> Page:
    """Replace a key by a new one that may do the same."""
    overlap = flask.request.form.get("overlap_s", "")
    told = {"overlap_s": int(overlap) if overlap.isdecimal() else overlap}
    made = tell("POST", f"/admin/keys/{key_id}/rotate", told).body
    return _show(made["tenant_id"], made=made)


@blueprint.post("/keys/<key_id>/revoke")
@form(Scope.ADMIN)
def revoke_key(key_id: str) -> Page:
    """End a key."""
    ended = tell("POST", f"/admin/keys/{key_id}/revoke").body
    return lead_to(f"/keys?tenant={ended['tenant_id']}", "key-revoked")


def _show(tenant_id: str, **more: Any) -> flask.Response:
    tenants = ask("/admin/tenants", [("limit", str(TENANTS_SHOWN))])
    known = [one["id"] for one in tenants.body]
    chosen = tenant_id if tenant_id in known else known[0]
    keys = ask("/admin/keys", [("tenant_id", chosen), ("limit", str(KEYS_SHOWN))])
    return render(
        "keys.html",
        here="keys",
        tenants=tenants.body,
        tenant_id=chosen,
        keys=keys.body,
        more=keys.after is not None,
        scopes=[scope.value for scope in Scope],
        holders=[holder.value for holder in Holder],
        overlaps=OVERLAPS,
        **{"chosen": USUAL_SCOPES, "sent": {}, **more},
    )

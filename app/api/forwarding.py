"""The forwarding endpoints: where a tenant's records are sent on, and how that goes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from ..auth import current_principal, has_scope, lacking, requires
from ..domain.access import FREE_FORM, Scope
from ..domain.forwarding import (
    DESTINATIONS_MAX,
    Destination,
    DestinationState,
    Format,
    Letter,
    new_destination,
    purpose_of,
)
from ..domain.records import Kind
from ..errors import Conflict, FieldError, InvalidInput, NotFound
from ..sinks import SINKS, parted
from ..store import forward_progress, forwarding
from ..store.forwarding import Standing, plain_values
from ..vault import NoCredentialKeys
from .alerts import managing, put_on_record
from .declared import path_uuid_parameter
from .forward_schemas import (
    CountSchema,
    DestinationChanges,
    DestinationSchema,
    LetterSchema,
    LettersChosen,
    LettersQuery,
    MadeDestination,
    NewDestination,
    ReplaySchema,
    ReplayWindow,
)
from .identifiers import path_uuid
from .paging import next_link
from .parsing import Blueprint
from .service import current_service

READING = "how forwarding stands is read as logs are"
LEAVES = "one audit log"
RESOURCE = "forward_destination"
BASE = "/forwarding/destinations"
KEYS_RULE = "holds secrets, which this platform cannot keep: it has no OPSLEDGER_CREDENTIAL_KEYS"

OF_DESTINATION = [path_uuid_parameter("destination_id")]

blueprint = Blueprint("forwarding", __name__, description="Where records are sent on to.")


@blueprint.route(BASE)
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.no_query()
@blueprint.response(200, DestinationSchema(many=True))
def list_destinations() -> list[dict[str, Any]]:
    """List destinations, oldest first, and how each stands."""
    with managing() as (session, tenant_id):
        found = forwarding.list_destinations(session, tenant_id)
        standings = {one.id: one for one in forwarding.read_standings(session)}
    return [shown_destination(one, standings.get(one.id)) for one in found]


@blueprint.route(BASE, methods=["POST"])
@requires(Scope.FORWARDING_WRITE, leaves=LEAVES)
@blueprint.no_query()
@blueprint.arguments(NewDestination)
@blueprint.response(201, MadeDestination)
@blueprint.alt_response(409, response="CONFLICT")
def create_destination(values: dict[str, Any]) -> dict[str, Any]:
    """Make a destination; what is committed from now on is sent there."""
    kind = SINKS[values["sink"]]
    for_all = values["all_tenants"]
    if (for_all or kind.operator_only) and not _of_operator():
        field = "all_tenants" if for_all else "sink"
        raise InvalidInput(FieldError(field, "is for keys of the operator tenant alone"))
    settings, secrets = parted(kind.name, values["settings"], current_service().settings)
    with managing() as (session, tenant_id):
        made = _new(tenant_id, values, settings)
        _check(made)
        others = forwarding.list_destinations(session, tenant_id)
        _check_name(made, others)
        if len(others) >= DESTINATIONS_MAX:
            raise Conflict(f"A tenant has at most {DESTINATIONS_MAX} destinations")
        forwarding.add_destination(session, made, _locked(made, secrets))
    put_on_record("create", RESOURCE, made.id, after=plain_values(made))
    shown = None if values["settings"].get("secret") else secrets.get("secret")
    return {**shown_destination(made, None), "secret": shown}


@blueprint.route(f"{BASE}/<destination_id>", parameters=OF_DESTINATION)
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.no_query()
@blueprint.response(200, DestinationSchema)
def get_destination(destination_id: str) -> dict[str, Any]:
    """Get a destination, and how it stands."""
    with managing() as (session, tenant_id):
        found = _destination(session, tenant_id, destination_id)
        standings = forwarding.read_standings(session)
    standing = next((one for one in standings if one.id == found.id), None)
    return shown_destination(found, standing)


@blueprint.route(f"{BASE}/<destination_id>", methods=["PATCH"], parameters=OF_DESTINATION)
@requires(Scope.FORWARDING_WRITE, leaves=LEAVES)
@blueprint.no_query()
@blueprint.arguments(DestinationChanges)
@blueprint.response(200, DestinationSchema)
@blueprint.alt_response(409, response="CONFLICT")
def change_destination(values: dict[str, Any], destination_id: str) -> dict[str, Any]:
    """Change the given parts of a destination, which is tried with them at once.

    Settings that are given take the place of all there were, but for secrets; to change where the
    records go, give the secrets too.
    """
    with managing() as (session, tenant_id):
        before = _destination(session, tenant_id, destination_id)
        after = replace(before, **_typed(values))
        changed: dict[str, Any] = {}
        if "settings" in values:
            changed = _fresh_settings(before, values["settings"])
            after = replace(after, settings=changed["settings"])
        _check(after)
        _check_name(after, forwarding.list_destinations(session, tenant_id))
        told = {name: plain_values(after)[name] for name in values}
        forwarding.change_destination(session, after, {**told, **changed})
    put_on_record(
        *("update", RESOURCE, after.id), before=plain_values(before), after=plain_values(after)
    )
    return shown_destination(after, None)


@blueprint.route(f"{BASE}/<destination_id>", methods=["DELETE"], parameters=OF_DESTINATION)
@requires(Scope.FORWARDING_WRITE, leaves=LEAVES)
@blueprint.no_query()
@blueprint.response(204)
def delete_destination(destination_id: str) -> None:
    """Delete a destination, its dead letters with it."""
    with managing() as (session, tenant_id):
        found = _destination(session, tenant_id, destination_id)
        forwarding.delete_destination(session, tenant_id, found.id)
    put_on_record("delete", RESOURCE, found.id, before=plain_values(found))


@blueprint.route(f"{BASE}/<destination_id>/pause", methods=["POST"], parameters=OF_DESTINATION)
@requires(Scope.FORWARDING_WRITE, leaves=LEAVES)
@blueprint.no_query()
@blueprint.response(200, DestinationSchema)
def pause_destination(destination_id: str) -> dict[str, Any]:
    """Send nothing there until it is resumed; what is committed meanwhile waits."""
    return _switch(destination_id, DestinationState.PAUSED)


@blueprint.route(f"{BASE}/<destination_id>/resume", methods=["POST"], parameters=OF_DESTINATION)
@requires(Scope.FORWARDING_WRITE, leaves=LEAVES)
@blueprint.no_query()
@blueprint.response(200, DestinationSchema)
def resume_destination(destination_id: str) -> dict[str, Any]:
    """Go on with a destination at once, paused or failing."""
    return _switch(destination_id, DestinationState.ACTIVE)


@blueprint.route(f"{BASE}/<destination_id>/test", methods=["POST"], parameters=OF_DESTINATION)
@requires(Scope.FORWARDING_WRITE, leaves=LEAVES)
@blueprint.no_query()
@blueprint.response(202, DestinationSchema)
def test_destination(destination_id: str) -> dict[str, Any]:
    """Send one test record; the destination's test_taken and test_answer tell how it went."""
    with managing() as (session, tenant_id):
        found = _destination(session, tenant_id, destination_id)
        forwarding.ask_test(session, tenant_id, found.id, datetime.now(UTC))
    put_on_record("test", RESOURCE, found.id)
    return shown_destination(found, None)


@blueprint.route(f"{BASE}/<destination_id>/replay", methods=["POST"], parameters=OF_DESTINATION)
@requires(Scope.FORWARDING_WRITE, leaves=LEAVES)
@blueprint.no_query()
@blueprint.arguments(ReplayWindow)
@blueprint.response(202, ReplaySchema)
def replay_window(values: dict[str, Any], destination_id: str) -> dict[str, Any]:
    """Send the records of a window of time once more, archived ones included, newest first."""
    since, until = values["since"], values.get("until") or datetime.now(UTC)
    with managing() as (session, tenant_id):
        found = _destination(session, tenant_id, destination_id)
        replay_id = forward_progress.add_replay(session, found, since, until)
    window = {"since": since.isoformat(), "until": until.isoformat()}
    put_on_record("replay", RESOURCE, found.id, after=window)
    return {"id": replay_id, "since": since, "until": until}


@blueprint.route(f"{BASE}/<destination_id>/dead-letters", parameters=OF_DESTINATION)
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(LettersQuery, location="query")
@blueprint.response(200, LetterSchema(many=True))
def list_dead_letters(
    query: dict[str, Any], destination_id: str
) -> tuple[list[Letter], int, dict[str, str]]:
    """List records that the destination refused, with its words, oldest first."""
    limit = query["limit"]
    with managing() as (session, tenant_id):
        found = _destination(session, tenant_id, destination_id)
        letters = forward_progress.list_letters(
            session, tenant_id, found.id, limit + 1, after=query.get("after")
        )
    if len(letters) <= limit:
        return letters, 200, {}
    return letters[:limit], 200, {"Link": next_link(str(letters[limit - 1].id))}


@blueprint.route(
    f"{BASE}/<destination_id>/dead-letters/retry", methods=["POST"], parameters=OF_DESTINATION
)
@requires(Scope.FORWARDING_WRITE, leaves=LEAVES)
@blueprint.no_query()
@blueprint.arguments(LettersChosen)
@blueprint.response(202, CountSchema)
def retry_dead_letters(values: dict[str, Any], destination_id: str) -> dict[str, int]:
    """Send dead letters once more, those named or all."""
    return _settle_letters(destination_id, values["ids"], "retry")


@blueprint.route(
    f"{BASE}/<destination_id>/dead-letters/drop", methods=["POST"], parameters=OF_DESTINATION
)
@requires(Scope.FORWARDING_WRITE, leaves=LEAVES)
@blueprint.no_query()
@blueprint.arguments(LettersChosen)
@blueprint.response(200, CountSchema)
def drop_dead_letters(values: dict[str, Any], destination_id: str) -> dict[str, int]:
    """Forget dead letters, those named or all; the records stay in the ledger."""
    return _settle_letters(destination_id, values["ids"], "drop")


def _settle_letters(destination_id: str, ids: list[UUID], act: str) -> dict[str, int]:
    settle = {"retry": forward_progress.retry_letters, "drop": forward_progress.drop_letters}[act]
    with managing() as (session, tenant_id):
        found = _destination(session, tenant_id, destination_id)
        count = settle(session, tenant_id, found.id, ids)
    put_on_record(f"{act}_dead_letters", RESOURCE, found.id, after={"count": count})
    return {"count": count}


def _switch(destination_id: str, state: DestinationState) -> dict[str, Any]:
    with managing() as (session, tenant_id):
        found = _destination(session, tenant_id, destination_id)
        forwarding.set_state(session, tenant_id, found.id, state)
        after = replace(found, state=state)
    put_on_record(
        *("update", RESOURCE, found.id),
        before={"state": found.state.value},
        after={"state": state.value},
    )
    return shown_destination(after, None)


def _destination(session: Any, tenant_id: UUID, destination_id: str) -> Destination:
    wanted = path_uuid("destination_id", destination_id)
    found = forwarding.find_destination(session, tenant_id, wanted)
    if found is None:
        raise NotFound
    return found


def _new(tenant_id: UUID, values: Mapping[str, Any], settings: Mapping[str, Any]) -> Destination:
    chosen = {"format": SINKS[values["sink"]].format, **_typed(values), "settings": settings}
    return new_destination(tenant_id=tenant_id, id=uuid7(), now=datetime.now(UTC), **chosen)


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    typed = {name: value for name, value in values.items() if name != "settings"}
    if "kinds" in typed:
        typed["kinds"] = tuple(sorted({Kind(kind) for kind in typed["kinds"]}))
    if "fields" in typed:
        typed["fields"] = tuple(dict.fromkeys(typed["fields"]))
    if "format" in typed:
        typed["format"] = Format(typed["format"])
    return typed


def _check(destination: Destination) -> None:
    """Refuse what the key may not have sent on."""
    free = FREE_FORM if not destination.fields else FREE_FORM & set(destination.fields)
    if free and not has_scope(Scope.LOGS_READ_PAYLOADS):
        raise lacking(
            Scope.LOGS_READ_PAYLOADS,
            f"This API key lacks the scope {Scope.LOGS_READ_PAYLOADS}, which forwarding"
            f" {', '.join(sorted(free))} needs; choose fields without them",
        )


def _check_name(destination: Destination, others: list[Destination]) -> None:
    if any(one.name == destination.name and one.id != destination.id for one in others):
        raise Conflict(f"There is a destination {destination.name!r} already")


def _fresh_settings(before: Destination, given: Mapping[str, Any]) -> dict[str, Any]:
    """Other settings, and secrets if any are given.

    Secrets that are not given stay with the destination only as long as it leads where it did: who
    may change a destination must not learn its secrets by having them sent elsewhere.
    """
    kind = SINKS[before.sink]
    secret_names = {one.name for one in kind.asked if one.secret}
    fresh = bool(secret_names & given.keys())
    kept = {} if fresh else dict.fromkeys(secret_names, "")
    settings, secrets = parted(kind.name, given, current_service().settings, kept)
    moved = any(before.settings.get(n) != settings.get(n) for n in ("url", "host", "endpoint"))
    if fresh:
        return {"settings": settings, "credentials": _locked(before, secrets)}
    if moved and secret_names:
        raise InvalidInput(
            FieldError("settings", "must have the secrets, too, if it leads elsewhere")
        )
    return {"settings": settings}


def _locked(destination: Destination, secrets: Mapping[str, str]) -> bytes | None:
    if not secrets:
        return None
    vault = current_service().providers.vault
    try:
        return vault.lock(destination.tenant_id, purpose_of(destination.id), dict(secrets))
    except NoCredentialKeys as error:
        raise InvalidInput(FieldError("settings", KEYS_RULE)) from error


def _of_operator() -> bool:
    principal = current_principal()
    return principal is not None and principal.of_operator


def shown_destination(found: Destination, standing: Standing | None) -> dict[str, Any]:
    """A destination as it is shown: without secrets, and with how far behind it is."""
    now = datetime.now(UTC)
    since = standing.waiting_since if standing else None
    return {
        **{name: getattr(found, name) for name in Destination.__slots__},
        **plain_values(found),
        "waiting_records": standing.waiting_records if standing else 0,
        "lag_s": round(max(0.0, (now - since).total_seconds()), 3) if since else 0.0,
        "dead_letters": standing.dead_letters if standing else 0,
        "next_try_at": found.due_at if found.failures and found.due_at > now else None,
    }

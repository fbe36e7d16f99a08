"""flask forward: where records are sent on, and how that goes.

Secrets come from a file or standard input, never from the command line, and are not shown.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TextIO
from uuid import UUID

import click
from flask.cli import AppGroup
from uuid_utils.compat import uuid7

from ..domain.access import OPERATOR_TENANT_ID
from ..domain.forwarding import Destination, DestinationState, Format, new_destination, purpose_of
from ..domain.identity import read_uuid
from ..domain.records import Kind
from ..errors import InvalidInput, OpsledgerError
from ..pipeline.forwarding import Forwarder
from ..sinks import SINKS, parted
from ..store import forward_progress, forwarding
from ..store.forwarding import plain_values
from ..vault import Vault
from .support import audit, database, maintaining, print_table, settings, the_tenant

RESOURCE = "forward_destination"

forward = AppGroup("forward", help="Manage where records are sent on.")
letters = AppGroup("dead-letters", help="Records that a destination refused.")
forward.add_command(letters)

destination_argument = click.argument("destination")
tenant_argument = click.argument("tenant")


@forward.command("sinks")
def list_sinks() -> None:
    """List the kinds of sinks, and what each asks for."""
    rows = [
        (
            kind.name,
            one.name,
            "secret" if one.secret else one.kind,
            "yes" if one.required else "-" if one.default is None else one.default,
            one.words,
        )
        for kind in SINKS.values()
        for one in kind.asked
    ]
    print_table(("SINK", "ASKS FOR", "KIND", "REQUIRED OR DEFAULT", "WHAT IT IS"), rows)


@forward.command("list")
@tenant_argument
def list_destinations(tenant: str) -> None:
    """List the destinations of TENANT (slug or id), and how each stands."""
    now = datetime.now(UTC)
    with maintaining() as session:
        tenant_id = the_tenant(session, tenant).id
        found = forwarding.list_destinations(session, tenant_id)
        standings = {one.id: one for one in forwarding.read_standings(session)}
    rows = []
    for one in found:
        stands = standings[one.id]
        since = stands.waiting_since
        lag_s = round((now - since).total_seconds(), 1) if since else 0
        counts = (one.sent, stands.waiting_records, lag_s, stands.dead_letters)
        rows.append((one.id, one.name, one.sink, one.state, *counts, one.last_error))
    print_table(
        ("ID", "NAME", "SINK", "STATE", "SENT", "WAITING", "LAG S", "DEAD", "LAST ERROR"), rows
    )


@forward.command("create")
@tenant_argument
@click.argument("name")
@click.argument("sink", type=click.Choice(list(SINKS)))
@click.option(
    "--settings",
    "given",
    type=click.File(),
    required=True,
    help="A JSON object with what the sink asks for; - reads standard input.",
)
@click.option("--kind", "kinds", type=click.Choice([one.value for one in Kind]), multiple=True)
@click.option("--format", "form", type=click.Choice([one.value for one in Format]))
@click.option("--field", "fields", multiple=True, help="Repeatable; all if none is given.")
@click.option("--all-tenants", is_flag=True, help="Records of every tenant; of `operator` alone.")
def create_destination(
    tenant: str,
    name: str,
    sink: str,
    given: TextIO,
    kinds: tuple[str, ...],
    form: str | None,
    fields: tuple[str, ...],
    all_tenants: bool,
) -> None:
    """Send records of TENANT (slug or id) to a destination NAME of kind SINK, from now on."""
    values, secrets = _parted(sink, given)
    with maintaining() as session:
        found = the_tenant(session, tenant)
        if (all_tenants or SINKS[sink].operator_only) and found.id != OPERATOR_TENANT_ID:
            raise click.ClickException("Only the operator tenant can have such a destination")
        if any(one.name == name for one in forwarding.list_destinations(session, found.id)):
            raise click.ClickException(f"There is a destination {name!r} already")
        made = new_destination(
            tenant_id=found.id,
            id=uuid7(),
            name=name,
            sink=sink,
            settings=values,
            kinds=tuple(Kind(one) for one in kinds) or tuple(Kind),
            fields=fields,
            format=Format(form) if form else SINKS[sink].format,
            all_tenants=all_tenants,
            now=datetime.now(UTC),
        )
        forwarding.add_destination(session, made, _locked(made, secrets))
    audit(found.id, "create", RESOURCE, str(made.id), after=plain_values(made))
    click.echo(f"Created destination {made.id}")
    if sink == "webhook":
        click.echo("The secret that verifies its signatures, which is shown this once:")
        click.echo(secrets["secret"])


@forward.command("show")
@tenant_argument
@destination_argument
def show_destination(tenant: str, destination: str) -> None:
    """Show DESTINATION (id or name) of TENANT, without its secrets."""
    found = _found(tenant, destination)
    shown = {name: getattr(found, name) for name in Destination.__slots__}
    click.echo(json.dumps({**shown, **plain_values(found)}, indent=2, default=str))


@forward.command("pause")
@tenant_argument
@destination_argument
def pause_destination(tenant: str, destination: str) -> None:
    """Send nothing to DESTINATION (id or name) of TENANT until it is resumed."""
    _switch(tenant, destination, DestinationState.PAUSED)


@forward.command("resume")
@tenant_argument
@destination_argument
def resume_destination(tenant: str, destination: str) -> None:
    """Go on with DESTINATION (id or name) of TENANT at once."""
    _switch(tenant, destination, DestinationState.ACTIVE)


@forward.command("remove")
@tenant_argument
@destination_argument
def remove_destination(tenant: str, destination: str) -> None:
    """Remove DESTINATION (id or name) of TENANT with its dead letters."""
    found = _found(tenant, destination)
    with maintaining() as session:
        forwarding.delete_destination(session, found.tenant_id, found.id)
    audit(found.tenant_id, "delete", RESOURCE, str(found.id), before=plain_values(found))
    click.echo(f"Removed destination {found.name}")


@forward.command("test")
@tenant_argument
@destination_argument
def try_destination(tenant: str, destination: str) -> None:
    """Send a test record to DESTINATION (id or name) of TENANT, at once and from here."""
    found = _found(tenant, destination)
    with maintaining() as session:
        forwarding.ask_test(session, found.tenant_id, found.id, datetime.now(UTC))
    audit(found.tenant_id, "test", RESOURCE, str(found.id))
    Forwarder(database(), settings()).try_now(found.tenant_id, found.id)
    tried = _found(tenant, destination)
    click.echo(tried.test_answer)
    if not tried.test_taken:
        raise click.exceptions.Exit(1)


@forward.command("replay")
@tenant_argument
@destination_argument
@click.option("--since", required=True, help="RFC 3339, such as 2024-01-15T10:30:00Z.")
@click.option("--until", help="Likewise; now if it is not given.")
def replay_window(tenant: str, destination: str, since: str, until: str | None) -> None:
    """Send a window of time to DESTINATION (id or name) of TENANT once more, the archive's too."""
    start = _moment("--since", since)
    end = _moment("--until", until) if until else datetime.now(UTC)
    found = _found(tenant, destination)
    with maintaining() as session:
        forward_progress.add_replay(session, found, start, end)
    window = {"since": start.isoformat(), "until": end.isoformat()}
    audit(found.tenant_id, "replay", RESOURCE, str(found.id), after=window)
    click.echo("It is sent beside what is new, newest first")


@forward.command("run")
def run_turns() -> None:
    """Deliver from here, now, whatever is due; workers do so all the time."""
    try:
        turns = Forwarder(database(), settings()).run_due()
    except OpsledgerError as error:
        raise click.ClickException(error.detail) from error
    click.echo(f"{turns} turns")


@letters.command("list")
@tenant_argument
@destination_argument
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
def list_letters(tenant: str, destination: str, limit: int) -> None:
    """List what DESTINATION (id or name) of TENANT refused, with its words."""
    found = _found(tenant, destination)
    with maintaining() as session:
        rows = forward_progress.list_letters(session, found.tenant_id, found.id, limit)
    print_table(
        ("ID", "KIND", "RECORD", "STATE", "TRIES", "SINCE", "REASON"),
        [
            (one.id, one.kind, one.record_id, one.state, one.attempts, one.created_at, one.reason)
            for one in rows
        ],
    )


@letters.command("retry")
@tenant_argument
@destination_argument
@click.argument("ids", nargs=-1)
def retry_letters(tenant: str, destination: str, ids: tuple[str, ...]) -> None:
    """Send dead letters once more: those of IDS, or all."""
    _settle(tenant, destination, ids, "retry")


@letters.command("drop")
@tenant_argument
@destination_argument
@click.argument("ids", nargs=-1)
def drop_letters(tenant: str, destination: str, ids: tuple[str, ...]) -> None:
    """Forget dead letters: those of IDS, or all. The records stay in the ledger."""
    _settle(tenant, destination, ids, "drop")


def _settle(tenant: str, destination: str, ids: tuple[str, ...], verb: str) -> None:
    chosen = [read_uuid(one) for one in ids]
    if None in chosen:
        raise click.BadParameter("must be ids of dead letters", param_hint="IDS")
    act = {"retry": forward_progress.retry_letters, "drop": forward_progress.drop_letters}[verb]
    found = _found(tenant, destination)
    with maintaining() as session:
        count = act(session, found.tenant_id, found.id, [one for one in chosen if one])
    told = {"count": count}
    audit(found.tenant_id, f"{verb}_dead_letters", RESOURCE, str(found.id), after=told)
    click.echo(f"{count} dead letters: {verb}")


def _switch(tenant: str, destination: str, state: DestinationState) -> None:
    found = _found(tenant, destination)
    with maintaining() as session:
        forwarding.set_state(session, found.tenant_id, found.id, state)
    audit(
        *(found.tenant_id, "update", RESOURCE, str(found.id)),
        before={"state": found.state.value},
        after={"state": state.value},
    )
    click.echo(f"Destination {found.name} is {replace(found, state=state).state}")


def _found(tenant: str, destination: str) -> Destination:
    with maintaining() as session:
        tenant_id: UUID = the_tenant(session, tenant).id
        for one in forwarding.list_destinations(session, tenant_id):
            if destination in {one.name, str(one.id)}:
                return one
    raise click.ClickException(f"There is no {destination!r}; see: flask forward list {tenant}")


def _parted(sink: str, given: TextIO) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        values = json.load(given)
    except ValueError as error:
        raise click.BadParameter("must be a JSON object", param_hint="--settings") from error
    if not isinstance(values, dict):
        raise click.BadParameter("must be a JSON object", param_hint="--settings")
    try:
        return parted(sink, values, settings())
    except InvalidInput as error:
        raise click.BadParameter(error.detail, param_hint="--settings") from error


def _locked(made: Destination, secrets: dict[str, str]) -> bytes | None:
    if not secrets:
        return None
    try:
        vault = Vault(settings().credential_keys)
        return vault.lock(made.tenant_id, purpose_of(made.id), secrets)
    except OpsledgerError as error:
        raise click.ClickException(error.detail) from error


def _moment(name: str, words: str) -> datetime:
    found: datetime | None
    try:
        found = datetime.fromisoformat(words)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        rule = "must be an RFC 3339 time with a zone, such as 2024-01-15T10:30:00Z"
        raise click.BadParameter(rule, param_hint=name)
    return found.astimezone(UTC)

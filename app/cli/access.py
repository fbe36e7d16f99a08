"""flask tenants, keys, action-types: who may use the service, and what it knows."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from flask.cli import AppGroup

from ..administration import NewKey
from ..domain.access import OPERATOR_TENANT_ID, ApiKey, Holder, Scope
from ..domain.records import ACTION_TYPE_FORM
from ..domain.tenancy import DEFAULT_SCOPES, KEY_DAYS_MAX, OVERLAP_MAX
from ..store import tenants as store
from ..store.action_types import add_action_type, list_action_types
from .support import administering, audit, maintaining, print_table, the_tenant

DURATION_FORM = re.compile(r"([0-9]{1,5})([mhd]?)")
DURATION_UNITS = {"m": "minutes", "h": "hours", "": "hours", "d": "days"}

tenants = AppGroup("tenants", help="Create, list, set, activate and deactivate tenants.")
keys = AppGroup("keys", help="Create, list, change, restrict, rotate and revoke API keys.")
action_types = AppGroup("action-types", help="List and add action types.")


class Duration(click.ParamType[timedelta]):
    """A stretch of time: a number with m, h or d; a bare number is hours."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read it.

        Raises:
            BadParameter: it is no such text, or beyond OVERLAP_MAX.
        """
        if isinstance(value, timedelta):
            return value
        found = DURATION_FORM.fullmatch(str(value))
        if found is None:
            self.fail("must be a number with m, h or d, such as 90m, 24h or 7d", param, ctx)
        stretch = timedelta(**{DURATION_UNITS[found[2]]: int(found[1])})
        if stretch > OVERLAP_MAX:
            self.fail(f"must be at most {OVERLAP_MAX.days}d", param, ctx)
        return stretch


network_option = click.option(
    "--network",
    "networks",
    multiple=True,
    help="Where it may be used from, as CIDR; repeatable. None: everywhere.",
)
TIMES = ("CREATED", "LAST USED", "EXPIRES", "REVOKED")
scope_choice = click.Choice([scope.value for scope in Scope])
holder_choice = click.Choice([holder.value for holder in Holder])
days_range = click.IntRange(1, KEY_DAYS_MAX)


@tenants.command("create")
@click.argument("slug")
@click.option("--name", help="Shown name; the slug if not given.")
def create_tenant(slug: str, name: str | None) -> None:
    """Create a tenant with the given SLUG (a-z, 0-9 and hyphens)."""
    with administering() as administration:
        made = administration.create_tenant(slug, name)
    click.echo(f"Created tenant {slug} with id {made.id}")


@tenants.command("list")
def list_tenants() -> None:
    """List all tenants."""
    with maintaining() as session:
        rows = store.list_tenants(session)
    print_table(
        ("SLUG", "ID", "NAME", "STATE", "CREATED"),
        [(t.slug, t.id, t.name, _state(t.is_active), t.created_at) for t in rows],
    )


@tenants.command("deactivate")
@click.argument("tenant")
def deactivate_tenant(tenant: str) -> None:
    """Stop serving the keys of TENANT (slug or id); its records stay."""
    _set_active(tenant, active=False)


@tenants.command("activate")
@click.argument("tenant")
def activate_tenant(tenant: str) -> None:
    """Serve the keys of TENANT (slug or id) again."""
    _set_active(tenant, active=True)


@tenants.command("settings")
@click.argument("tenant")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="JSON; null drops one.")
def tenant_settings(tenant: str, given: tuple[str, ...]) -> None:
    """Show what is set for TENANT (slug or id), or set it: key_days_max=90."""
    with administering() as administration:
        if given:
            shown = administration.change_settings(tenant, dict(map(_setting, given)))
        else:
            shown = administration.settings(tenant)
    print_table(("SETTING", "VALUE"), [(name, json.dumps(shown[name])) for name in sorted(shown)])


@keys.command("create")
@click.argument("tenant")
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=scope_choice,
    default=DEFAULT_SCOPES,
    show_default=True,
    help="Repeatable.",
)
@click.option("--expires-days", type=days_range, help="Days until the key ends.")
@network_option
@click.option(
    "--holder",
    type=holder_choice,
    default=Holder.MACHINE.value,
    show_default=True,
    help="Who has it; what a human reads of payloads goes on record.",
)
def create_key(
    tenant: str,
    name: str,
    scopes: tuple[str, ...],
    expires_days: int | None,
    networks: tuple[str, ...],
    holder: str,
) -> None:
    """Create an API key for TENANT (slug or id); its secret is shown this once."""
    with administering() as administration:
        made = administration.keys.create(
            tenant,
            name,
            scopes=scopes,
            networks=networks,
            holder=holder,
            expires_at=_in_days(expires_days),
        )
    _show_secret(made)


@keys.command("list")
@click.argument("tenant")
def list_keys(tenant: str) -> None:
    """List the API keys of TENANT (slug or id)."""
    with maintaining() as session:
        rows = store.list_keys(session, the_tenant(session, tenant).id)
    print_table(
        ("PREFIX", "NAME", "HOLDER", "SCOPES", "NETWORKS", *TIMES),
        [
            (
                *(k.prefix, k.name, k.holder, ",".join(k.scopes), ",".join(k.networks) or None),
                *_times(k),
            )
            for k in rows
        ],
    )


@keys.command("change")
@click.argument("key")
@click.option("--name", help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, type=scope_choice, help="All it is to have.")
@click.option("--expires-days", type=days_range, help="Days from now until the key ends.")
@click.option("--holder", type=holder_choice, help="Who has it.")
def change_key(
    key: str,
    name: str | None,
    scopes: tuple[str, ...],
    expires_days: int | None,
    holder: str | None,
) -> None:
    """Change what is given of KEY (prefix or id); every process knows within
    OPSLEDGER_KEY_CACHE_S.
    """
    given: dict[str, Any] = {
        "name": name,
        "scopes": scopes or None,
        "expires_at": _in_days(expires_days),
        "holder": holder,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    with administering() as administration:
        changed = administration.keys.change(key, changes)
    click.echo(f"Changed key {changed.prefix}")


@keys.command("restrict")
@click.argument("key")
@network_option
def restrict_key(key: str, networks: tuple[str, ...]) -> None:
    """Let KEY (prefix or id) be used from the given networks alone; without any, everywhere.

    Every process knows within OPSLEDGER_KEY_CACHE_S.
    """
    with administering() as administration:
        changed = administration.keys.change(key, {"networks": networks})
    where = ", ".join(changed.networks) or "everywhere"
    click.echo(f"Key {changed.prefix} may be used from {where}")


@keys.command("rotate")
@click.argument("key")
@click.option(
    "--overlap",
    "--overlap-hours",
    "overlap",
    type=Duration(),
    default="24h",
    show_default=True,
    help="How long the old key still works: 90m, 24h, 7d; at most 30d.",
)
def rotate_key(key: str, overlap: timedelta) -> None:
    """Replace KEY (prefix or id) by a new one with the same scopes, networks and holder."""
    with administering() as administration:
        rotation = administration.keys.rotate(key, overlap)
    ends_at = rotation.ends_at.isoformat(timespec="seconds")
    click.echo(f"The old key {rotation.old.prefix} works until {ends_at}")
    _show_secret(rotation.new)


@keys.command("revoke")
@click.argument("key")
def revoke_key(key: str) -> None:
    """End KEY (prefix or id) now; every process knows within OPSLEDGER_KEY_CACHE_S."""
    with administering() as administration:
        ended = administration.keys.revoke(key)
    click.echo(f"Revoked key {ended.prefix}")


@action_types.command("list")
def list_types() -> None:
    """List the action types of this platform."""
    with maintaining() as session:
        click.echo("\n".join(list_action_types(session)))


@action_types.command("add")
@click.argument("name")
def add_type(name: str) -> None:
    """Make NAME an action type; it must look like crm_create."""
    if not ACTION_TYPE_FORM.fullmatch(name) or len(name) > 63:
        rule = "must be 2 or more lower-case words joined by _, at most 63 characters"
        raise click.BadParameter(rule, param_hint="NAME")
    with maintaining() as session:
        if not add_action_type(session, name):
            raise click.ClickException(f"{name} is an action type already")
    audit(OPERATOR_TENANT_ID, "create", "action_type", name, after={"name": name})
    click.echo(f"Added action type {name}")


def _set_active(name: str, *, active: bool) -> None:
    with administering() as administration:
        tenant, changed = administration.change_tenant(name, is_active=active)
    click.echo(f"Tenant {tenant.slug} is {_state(active)} {'now' if changed else 'already'}")


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError as error:
        raise click.BadParameter("must be NAME=VALUE, the value as JSON") from error


def _in_days(days: int | None) -> datetime | None:
    return datetime.now(UTC) + timedelta(days=days) if days else None


def _show_secret(made: NewKey) -> None:
    key = made.key
    click.echo(f"Key {key.prefix} ({key.name}), scopes {', '.join(key.scopes)}")
    click.echo("Its secret, which is shown this once:")
    click.echo(made.secret)


def _times(key: ApiKey) -> tuple[object, ...]:
    return (key.created_at, key.last_used_at, key.expires_at, key.revoked_at)


def _state(active: bool) -> str:
    return "active" if active else "inactive"

"""flask tenants, keys, action-types: who may use the service, and what it knows."""

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from uuid import UUID

import click
from flask.cli import AppGroup
from uuid_utils.compat import uuid7

from ..auth import hash_secret
from ..domain.access import OPERATOR_TENANT_ID, ApiKey, Scope
from ..domain.records import ACTION_TYPE_FORM
from ..store import tenants as store
from ..store.action_types import add_action_type, list_action_types
from .support import audit, maintaining, print_table, settings, the_tenant

SLUG_FORM = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TENANT_NAME_CHARS_MAX = 200
KEY_NAME_CHARS_MAX = 100
SECRET_BYTES = 32  # 256 bits
PREFIX_CHARS = 8  # of the secret, shown to tell keys apart
NETWORKS_MAX = 50  # each is looked at in every request of the key
OVERLAP_MAX = timedelta(days=30)
DURATION_FORM = re.compile(r"([0-9]{1,5})([mhd]?)")
DURATION_UNITS = {"m": "minutes", "h": "hours", "": "hours", "d": "days"}
DEFAULT_SCOPES = (Scope.LOGS_READ, Scope.LOGS_READ_PAYLOADS)

tenants = AppGroup("tenants", help="Create, list, activate and deactivate tenants.")
keys = AppGroup("keys", help="Create, list, restrict, rotate and revoke API keys.")
action_types = AppGroup("action-types", help="List and add action types.")


def bounded(chars_max: int) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """Check an option that, when given, has 1 to `chars_max` characters."""

    def check(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
        if value is not None and not 1 <= len(value) <= chars_max:
            raise click.BadParameter(f"must have 1 to {chars_max} characters")
        return value

    return check


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


def networks_of(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Networks as they are compared: 10.0.0.0/8, an address alone as /32 or /128."""
    if len(values) > NETWORKS_MAX:
        raise click.BadParameter(f"at most {NETWORKS_MAX}")
    try:
        return tuple(str(ip_network(value)) for value in values)
    except ValueError as error:
        raise click.BadParameter(f"must be a network such as 203.0.113.0/24: {error}") from error


network_option = click.option(
    "--network",
    "networks",
    multiple=True,
    callback=networks_of,
    help="Where it may be used from, as CIDR; repeatable. None: everywhere.",
)


@tenants.command("create")
@click.argument("slug")
@click.option(
    "--name", callback=bounded(TENANT_NAME_CHARS_MAX), help="Shown name; the slug if not given."
)
def create_tenant(slug: str, name: str | None) -> None:
    """Create a tenant with the given SLUG (a-z, 0-9 and hyphens)."""
    if not SLUG_FORM.fullmatch(slug):
        raise click.BadParameter("must be 1 to 63 of a-z, 0-9 and hyphens", param_hint="SLUG")
    if UUID_FORM.fullmatch(slug):  # every command takes a slug or an id
        raise click.BadParameter("must not look like an id", param_hint="SLUG")
    tenant_id, shown = uuid7(), name or slug
    with maintaining() as session:
        if not store.add_tenant(session, tenant_id=tenant_id, name=shown, slug=slug):
            raise click.ClickException(f"There is a tenant {slug!r} already")
    audit(tenant_id, "create", "tenant", str(tenant_id), after={"name": shown, "slug": slug})
    click.echo(f"Created tenant {slug} with id {tenant_id}")


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


@keys.command("create")
@click.argument("tenant")
@click.option(
    "--name", required=True, callback=bounded(KEY_NAME_CHARS_MAX), help="What the key is for."
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    default=[scope.value for scope in DEFAULT_SCOPES],
    show_default=True,
    help="Repeatable.",
)
@click.option("--expires-days", type=click.IntRange(1, 3650), help="Days until the key ends.")
@network_option
def create_key(
    tenant: str,
    name: str,
    scopes: tuple[str, ...],
    expires_days: int | None,
    networks: tuple[str, ...],
) -> None:
    """Create an API key for TENANT (slug or id); its secret is shown this once."""
    now = datetime.now(UTC)
    expires_at = now + timedelta(days=expires_days) if expires_days else None
    with maintaining() as session:
        found = the_tenant(session, tenant)
        key, secret = _add_key(session, found.id, name, scopes, networks, expires_at)
    audit(found.id, "create", "api_key", str(key.id), after=_shown(key))
    _show_secret(key, secret)


@keys.command("list")
@click.argument("tenant")
def list_keys(tenant: str) -> None:
    """List the API keys of TENANT (slug or id)."""
    with maintaining() as session:
        rows = store.list_keys(session, the_tenant(session, tenant).id)
    print_table(
        ("PREFIX", "NAME", "SCOPES", "NETWORKS", "CREATED", "LAST USED", "EXPIRES", "REVOKED"),
        [
            (k.prefix, k.name, ",".join(k.scopes), ",".join(k.networks) or None, *_times(k))
            for k in rows
        ],
    )


@keys.command("restrict")
@click.argument("key")
@network_option
def restrict_key(key: str, networks: tuple[str, ...]) -> None:
    """Let KEY (prefix or id) be used from the given networks alone; without any, everywhere.

    Every process knows within OPSLEDGER_KEY_CACHE_S.
    """
    with maintaining() as session:
        found = _the_key(session, key)
        store.bind_key(session, found, networks)
    audit(
        found.tenant_id,
        "restrict",
        "api_key",
        str(found.id),
        before={"networks": list(found.networks)},
        after={"networks": list(networks)},
    )
    click.echo(f"Key {found.prefix} may be used from {', '.join(networks) or 'everywhere'}")


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
    """Replace KEY (prefix or id) by a new one with the same scopes and networks."""
    ends_at = datetime.now(UTC) + overlap
    with maintaining() as session:
        old = _the_key(session, key)
        _check_rotatable(old)
        new, secret = _add_key(
            session, old.tenant_id, old.name, old.scopes, old.networks, old.expires_at
        )
        store.revoke_keys(session, [old], ends_at)
    audit(
        old.tenant_id,
        "rotate",
        "api_key",
        str(old.id),
        before=_shown(old),
        after={**_shown(new), "old_key_ends_at": ends_at.isoformat()},
    )
    click.echo(f"The old key {old.prefix} works until {ends_at.isoformat(timespec='seconds')}")
    _show_secret(new, secret)


@keys.command("revoke")
@click.argument("key")
def revoke_key(key: str) -> None:
    """End KEY (prefix or id) now; every process knows within OPSLEDGER_KEY_CACHE_S."""
    with maintaining() as session:
        found = _the_key(session, key)
        store.revoke_keys(session, [found], datetime.now(UTC))
    audit(found.tenant_id, "revoke", "api_key", str(found.id), before=_shown(found))
    click.echo(f"Revoked key {found.prefix}")


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
    with maintaining() as session:
        tenant = the_tenant(session, name)
        if tenant.id == OPERATOR_TENANT_ID:
            raise click.ClickException("The operator tenant cannot be deactivated")
        if tenant.is_active == active:
            click.echo(f"Tenant {tenant.slug} is {_state(active)} already")
            return
        store.set_tenant_active(session, tenant.id, active)
    audit(
        tenant.id,
        "activate" if active else "deactivate",
        "tenant",
        str(tenant.id),
        before={"is_active": tenant.is_active},
        after={"is_active": active},
    )
    click.echo(f"Tenant {tenant.slug} is {_state(active)} now")


def _add_key(
    session: object,
    tenant_id: UUID,
    name: str,
    scopes: tuple[str, ...],
    networks: tuple[str, ...],
    expires_at: datetime | None,
) -> tuple[ApiKey, str]:
    lead = f"ops_{settings().environment}_"
    secret = lead + secrets.token_hex(SECRET_BYTES)
    key = ApiKey(
        tenant_id=tenant_id,
        id=uuid7(),
        name=name,
        prefix=secret[: len(lead) + PREFIX_CHARS],
        scopes=tuple(scopes),
        created_at=datetime.now(UTC),
        expires_at=expires_at,
        revoked_at=None,
        last_used_at=None,
        networks=networks,
    )
    store.add_key(session, key, hash_secret(secret))  # type: ignore[arg-type]
    return key, secret


def _the_key(session: object, name: str) -> ApiKey:
    found = store.find_keys(session, name)  # type: ignore[arg-type]
    if len(found) != 1:
        raise click.ClickException(f"There is no single key {name!r}; see: flask keys list TENANT")
    revoked_at = found[0].revoked_at
    if revoked_at is not None and revoked_at <= datetime.now(UTC):
        raise click.ClickException(f"Key {name} was revoked already")
    return found[0]


def _check_rotatable(key: ApiKey) -> None:
    """Refuse a key that has a successor, or whose successor would have expired with it."""
    if key.revoked_at is not None:
        raise click.ClickException(f"Key {key.prefix} was rotated already; revoke ends it now")
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        raise click.ClickException(
            f"Key {key.prefix} has expired; make a new one: flask keys create TENANT --name NAME"
        )


def _shown(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "networks": list(key.networks),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }


def _show_secret(key: ApiKey, secret: str) -> None:
    click.echo(f"Key {key.prefix} ({key.name}), scopes {', '.join(key.scopes)}")
    click.echo("Its secret, which is shown this once:")
    click.echo(secret)


def _times(key: ApiKey) -> tuple[object, ...]:
    return (key.created_at, key.last_used_at, key.expires_at, key.revoked_at)


def _state(active: bool) -> str:
    return "active" if active else "inactive"

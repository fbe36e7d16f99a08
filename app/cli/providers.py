"""flask providers: who serves each tenant's capabilities, and whether the credentials work.

Credentials come from a file or standard input, never from the command line, and are not shown.
"""

import json
from typing import Any, TextIO
from uuid import UUID

import click
import flask
from flask.cli import AppGroup
from uuid_utils.compat import uuid7

from ..channels import Kept, keep_target, open_target
from ..domain.accounts import StoredAccount
from ..domain.forwarding import purpose_of
from ..errors import InvalidInput, OpsledgerError, ProviderError
from ..providers import EXTENSION, Providers
from ..providers.catalogue import KINDS, kinds_of
from ..providers.protocols import CAPABILITIES, Capability
from ..store import alert_rules, forwarding
from ..store import provider_accounts as store
from ..vault import new_key
from .support import audit, maintaining, print_table, the_tenant

providers = AppGroup("providers", help="Choose, check and list the providers of tenants.")

ACCOUNT = "provider_account"
# What is tried of a capability: the operation that changes nothing.
TRIED = {
    "crm": "crm_list",
    "helpdesk": "helpdesk_list_tickets",
    "calendar": "calendar_list_events",
    "email": "email_list",
    "knowledge": "knowledge_list",
}

capability_argument = click.argument("capability", type=click.Choice(CAPABILITIES))


@providers.command("kinds")
def list_kinds() -> None:
    """List the providers there are, and what each asks for."""
    print_table(
        ("PROVIDER", "CAPABILITIES", "CREDENTIALS", "OPTIONS", "ADDRESS", "BEARS"),
        [
            (
                kind.name,
                ",".join(kind.openers),
                _names(kind.asked, secret=True),
                _names(kind.asked, secret=False),
                kind.base_url or None,
                kind.rate_limit,
            )
            for kind in KINDS.values()
        ],
    )


@providers.command("list")
@click.argument("tenant")
def list_accounts(tenant: str) -> None:
    """List the accounts of TENANT (slug or id); others are served by the platform's default."""
    with maintaining() as session:
        rows = store.list_accounts(session, the_tenant(session, tenant).id)
    print_table(
        ("CAPABILITY", "PROVIDER", "OPTIONS", "CREDENTIALS", "CHANGED"),
        [
            (row.capability, row.provider, json.dumps(row.options), _kept(row), row.updated_at)
            for row in rows
        ],
    )


@providers.command("use")
@click.argument("tenant")
@capability_argument
@click.argument("provider")
@click.option(
    "--account",
    type=click.File(),
    help="A JSON object with the account's credentials and options; - reads standard input.",
)
def use_provider(tenant: str, capability: str, provider: str, account: TextIO | None) -> None:
    """Let PROVIDER serve CAPABILITY for TENANT (slug or id); every process knows within 5 s."""
    if provider not in kinds_of(capability):
        known = ", ".join(kinds_of(capability))
        raise click.BadParameter(f"must be one of {known}", param_hint="PROVIDER")
    options, credentials = _parted(provider, account)
    with maintaining() as session:
        found = the_tenant(session, tenant)
        locked = _locked(found.id, capability, credentials) if credentials else None
        before = store.find_account(session, found.id, capability)
        store.put_account(
            session,
            found.id,
            capability,
            provider=provider,
            options=options,
            credentials=locked,
        )
        after = store.find_account(session, found.id, capability)
    audit(
        found.id,
        "update" if before else "create",
        ACCOUNT,
        capability,
        before=_shown(before),
        after=_shown(after),
    )
    click.echo(f"{found.slug}: {capability} is served by {provider}")


@providers.command("remove")
@click.argument("tenant")
@capability_argument
def remove_account(tenant: str, capability: str) -> None:
    """Forget the account of TENANT (slug or id) for CAPABILITY, with its credentials."""
    with maintaining() as session:
        found = the_tenant(session, tenant)
        before = store.find_account(session, found.id, capability)
        if before is None or not store.delete_account(session, found.id, capability):
            raise click.ClickException(f"{found.slug} has no account for {capability}")
    audit(found.id, "delete", ACCOUNT, capability, before=_shown(before))
    click.echo(f"{found.slug}: {capability} is served by the platform's default again")


@providers.command("check")
@click.argument("tenant")
@click.argument("capability", type=click.Choice(CAPABILITIES), required=False)
def check_accounts(tenant: str, capability: str | None) -> None:
    """Try the credentials of TENANT (slug or id) by a list of one; each try is on record."""
    with maintaining() as session:
        found = the_tenant(session, tenant)
    chosen = [capability] if capability else list(CAPABILITIES)
    refusals = [_try(found.id, name) for name in chosen]
    if any(refusals):
        raise click.exceptions.Exit(1)


@providers.command("new-key")
def make_key() -> None:
    """Print a new key for OPSLEDGER_CREDENTIAL_KEYS."""
    click.echo(new_key())


@providers.command("rotate-keys")
def rotate_keys() -> None:
    """Encrypt all credentials anew by the first key, after which the others can go."""
    done = 0
    with maintaining() as session:
        for row in store.list_accounts(session):
            if row.credentials is not None:
                opened = _opened(row)
                store.put_account(
                    session,
                    row.tenant_id,
                    row.capability,
                    provider=row.provider,
                    options=row.options,
                    credentials=_locked(row.tenant_id, row.capability, opened),
                )
                done += 1
        vault, sent_to = _providers().vault, 0
        for tenant_id, destination_id, locked in forwarding.list_locked(session):
            purpose = purpose_of(destination_id)
            try:
                opened = vault.unlock(tenant_id, purpose, locked)
            except OpsledgerError as error:
                where = f"tenant {tenant_id}, destination {destination_id}"
                raise click.ClickException(f"{error.detail} ({where})") from error
            fresh = vault.lock(tenant_id, purpose, opened)
            forwarding.put_locked(session, tenant_id, destination_id, fresh)
            sent_to += 1
        told = _rotate_channels(session)
    words = f"Encrypted the credentials of {done} accounts by the first key"
    more = f", of {told} channels" if told else ""
    more += f", and of {sent_to} destinations" if sent_to else ""
    click.echo(words + more)


def _rotate_channels(session: Any) -> int:
    """Encrypt what is secret of channels, that of old ones for the first time; of how many."""
    vault, told = _providers().vault, 0
    for channel in alert_rules.list_kept_channels(session):
        tenant_id = channel.tenant_id
        kept = Kept(channel.target, channel.credentials, channel.secret)
        try:
            target, secret = open_target(vault, tenant_id, channel.id, kept)
            fresh = keep_target(vault, tenant_id, channel.id, channel.kind, target, secret)
        except OpsledgerError as error:
            where = f"tenant {tenant_id}, channel {channel.id}"
            raise click.ClickException(f"{error.detail} ({where})") from error
        if fresh.credentials is not None:
            alert_rules.put_credentials(session, tenant_id, channel.id, fresh.credentials)
            told += 1
    return told


def _try(tenant_id: UUID, name: str) -> bool:
    """Try one capability and say how it went; whether it was refused."""
    every: Capability[Any] = Capability(name)
    operation_id = str(uuid7())
    window = {"since": None, "until": None} if name == "calendar" else {}
    try:
        with _providers().operate(
            every, tenant_id, TRIED[name], operation_id=operation_id
        ) as provider:
            provider.list(limit=1, after=None, **window)
    except ProviderError as error:
        click.echo(f"{name}: {error.code}: {error.detail} (operation {operation_id})")
        return True
    click.echo(f"{name}: works (operation {operation_id})")
    return False


def _parted(provider: str, account: TextIO | None) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        values = json.load(account) if account else {}
    except ValueError as error:
        raise click.BadParameter("must be a JSON object", param_hint="--account") from error
    if not isinstance(values, dict):
        raise click.BadParameter("must be a JSON object", param_hint="--account")
    try:
        return KINDS[provider].parted(values)
    except InvalidInput as error:
        raise click.BadParameter(str(error), param_hint="--account") from error


def _locked(tenant_id: UUID, capability: str, credentials: dict[str, str]) -> bytes:
    try:
        return _providers().vault.lock(tenant_id, capability, credentials)
    except OpsledgerError as error:
        raise click.ClickException(error.detail) from error


def _opened(account: StoredAccount) -> dict[str, str]:
    """Its credentials; ends the command where no key fits, so that nothing is half done."""
    locked = account.credentials or b""
    try:
        return _providers().vault.unlock(account.tenant_id, account.capability, locked)
    except OpsledgerError as error:
        where = f"tenant {account.tenant_id}, {account.capability}"
        raise click.ClickException(f"{error.detail} ({where})") from error


def _providers() -> Providers:
    found: Providers = flask.current_app.extensions[EXTENSION]
    return found


def _names(asked: Any, *, secret: bool) -> str | None:
    return ",".join(item.name for item in asked if item.secret is secret) or None


def _kept(account: StoredAccount) -> str:
    return "none" if account.credentials is None else "kept"


def _shown(account: StoredAccount | None) -> dict[str, Any] | None:
    """An account for the audit log: whether there are credentials, and never which."""
    if account is None:
        return None
    return {
        "provider": account.provider,
        "options": account.options,
        "has_keys": account.credentials is not None,
    }

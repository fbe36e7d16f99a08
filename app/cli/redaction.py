"""flask tenants redaction: what of a tenant's records is masked, hashed or dropped beside the rules
that hold for all.
"""

import click
from flask.cli import AppGroup

from ..administration import NO_REDACTION_KEY
from ..domain.policy import Mode, Policy, PolicyRule, tenant_hash_key
from ..domain.tenancy import REDACTION
from ..errors import InvalidInput
from .support import administering, print_table, settings

redaction = AppGroup("redaction", help="Show, set and clear what a tenant's records conceal.")


@redaction.command("show")
@click.argument("tenant")
def show_policy(tenant: str) -> None:
    """List the rules of TENANT (slug or id)."""
    with administering() as administration:
        rules = administration.settings(tenant).get(REDACTION) or []
    print_table(
        ("RULE", "MODE"),
        [(rule.get("key") or rule.get("path"), rule.get("mode")) for rule in rules],
    )


@redaction.command("set")
@click.argument("tenant")
@click.option("--key", "keys", multiple=True, metavar="NAME=MODE", help="A key, at any depth.")
@click.option("--path", "paths", multiple=True, metavar="PATH=MODE", help="One place, or [*].")
def set_rules(tenant: str, keys: tuple[str, ...], paths: tuple[str, ...]) -> None:
    """Put rules in the place of those of TENANT (slug or id).

    MODE is mask, hash or drop. Keys match whatever their case and separators. A PATH is written as
    records show it: request_payload.contacts[*].email. Every process knows within 5 s.
    """
    given = [_split("key", text) for text in keys] + [_split("path", text) for text in paths]
    if not given:
        raise click.UsageError("Give a --key or a --path; clear removes all rules")
    with administering() as administration:
        try:
            administration.change_settings(tenant, {REDACTION: given})
        except InvalidInput as error:  # each of its complaints, not the first alone
            raise click.ClickException(error.detail) from error
    click.echo(f"Tenant {tenant} has {len(given)} rules now, known everywhere within 5 s")


@redaction.command("clear")
@click.argument("tenant")
def clear_policy(tenant: str) -> None:
    """Remove all rules of TENANT (slug or id); what they concealed stays concealed."""
    with administering() as administration:
        administration.change_settings(tenant, {REDACTION: None})
    click.echo(f"Tenant {tenant} has no rules now")


@redaction.command("hash")
@click.argument("tenant")
@click.argument("text")
def hash_text(tenant: str, text: str) -> None:
    """Print what stands for TEXT where a rule of TENANT (slug or id) hashes it."""
    if not settings().redaction_key:
        raise click.ClickException(NO_REDACTION_KEY)
    with administering() as administration:
        found = administration.tenant(tenant)
    rule = PolicyRule(Mode.HASH, key="text")
    policy = Policy([rule], tenant_hash_key(settings().redaction_key, found.id))
    click.echo(policy.stand_in(rule, text)[0])


def _split(name: str, text: str) -> dict[str, str]:
    target, _, mode = text.rpartition("=")
    return {name: target, "mode": mode}

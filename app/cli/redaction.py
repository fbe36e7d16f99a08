"""flask tenants redaction: what of a tenant's records is masked, hashed or dropped beside the rules
that hold for all.
"""

from typing import Any

import click
from flask.cli import AppGroup

from ..domain.policy import Mode, Policy, PolicyRule, read_rules, tenant_hash_key
from ..errors import InvalidInput
from ..store.policies import get_policy, set_policy
from .support import audit, maintaining, print_table, settings, the_tenant

NO_KEY = (
    "Set OPSLEDGER_REDACTION_KEY on all hosts first: with it they know that tenants have policies,"
    " and withhold what one could conceal until they know it"
)

redaction = AppGroup("redaction", help="Show, set and clear what a tenant's records conceal.")


@redaction.command("show")
@click.argument("tenant")
def show_policy(tenant: str) -> None:
    """List the rules of TENANT (slug or id)."""
    with maintaining() as session:
        rules = get_policy(session, the_tenant(session, tenant).id) or []
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
    if not settings().redaction_key:
        raise click.ClickException(NO_KEY)
    given = [_split("key", text) for text in keys] + [_split("path", text) for text in paths]
    if not given:
        raise click.UsageError("Give a --key or a --path; clear removes all rules")
    try:
        rules = read_rules(given)
    except InvalidInput as error:
        raise click.ClickException(error.detail) from error
    _replace(tenant, rules)
    click.echo(f"Tenant {tenant} has {len(rules)} rules now, known everywhere within 5 s")


@redaction.command("clear")
@click.argument("tenant")
def clear_policy(tenant: str) -> None:
    """Remove all rules of TENANT (slug or id); what they concealed stays concealed."""
    _replace(tenant, ())
    click.echo(f"Tenant {tenant} has no rules now")


@redaction.command("hash")
@click.argument("tenant")
@click.argument("text")
def hash_text(tenant: str, text: str) -> None:
    """Print what stands for TEXT where a rule of TENANT (slug or id) hashes it."""
    if not settings().redaction_key:
        raise click.ClickException(NO_KEY)
    with maintaining() as session:
        found = the_tenant(session, tenant)
    rule = PolicyRule(Mode.HASH, key="text")
    policy = Policy([rule], tenant_hash_key(settings().redaction_key, found.id))
    click.echo(policy.stand_in(rule, text)[0])


def _split(name: str, text: str) -> dict[str, str]:
    target, _, mode = text.rpartition("=")
    return {name: target, "mode": mode}


def _replace(name: str, rules: tuple[PolicyRule, ...]) -> None:
    after: list[dict[str, Any]] = [rule.as_json() for rule in rules]
    with maintaining() as session:
        tenant = the_tenant(session, name)
        before = get_policy(session, tenant.id) or []
        set_policy(session, tenant.id, after)
    audit(
        tenant.id,
        "set_redaction" if after else "clear_redaction",
        "tenant",
        str(tenant.id),
        before={"redaction": before},
        after={"redaction": after},
    )

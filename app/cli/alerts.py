"""flask alerts: what fires, by which rules, and whom it is told to."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import AppGroup
from uuid_utils.compat import uuid7

from ..channels import KINDS, check_target, keep_target
from ..domain.alert_rules import Comparison, Figure, Rule, Severity, check_rule
from ..domain.records import Kind
from ..errors import ChannelError, InvalidInput, OpsledgerError, StoreUnavailable
from ..pipeline.alerting import evaluate_alerts
from ..pipeline.notifying import deliver_messages
from ..signing import new_secret
from ..store import alert_rules
from ..store import alerts as alert_store
from ..store import deliveries as delivery_store
from ..store.alert_rules import Channel
from ..vault import Vault
from .support import audit, database, maintaining, print_table, settings, the_tenant

SHOWN_MAX = click.IntRange(1, 1000)

alerts = AppGroup("alerts", help="Look at alerts; manage rules and channels.")


@alerts.command("list")
@click.argument("tenant")
@click.option("--limit", type=SHOWN_MAX, default=50, show_default=True)
def list_alerts(tenant: str, limit: int) -> None:
    """List the newest alerts of TENANT (slug or id)."""
    with maintaining() as session:
        found = alert_store.list_alerts(session, the_tenant(session, tenant).id, limit=limit)
    print_table(
        ("ID", "STATE", "SEVERITY", "RULE", "GROUP", "VALUE", "FIRED", "RESOLVED"),
        [
            (
                one.id,
                one.state,
                one.severity,
                one.rule_name,
                one.group or "-",
                f"{one.value:g}",
                one.fired_at,
                one.resolved_at,
            )
            for one in found
        ],
    )


@alerts.command("rules")
@click.argument("tenant")
def list_rules(tenant: str) -> None:
    """List the rules of TENANT (slug or id)."""
    with maintaining() as session:
        found = alert_rules.list_rules(session, the_tenant(session, tenant).id)
    print_table(
        ("ID", "NAME", "FIGURE", "WINDOW S", "GROUP BY", "SEVERITY", "STATE"),
        [
            (
                one.id,
                one.name,
                f"{one.figure} {one.comparison} {one.threshold:g}",
                one.window_s,
                one.group_by,
                one.severity,
                "on" if one.enabled else "off",
            )
            for one in found
        ],
    )


@alerts.command("add-rule")
@click.argument("tenant")
@click.argument("name")
@click.option("--kind", type=click.Choice([one.value for one in Kind]), required=True)
@click.option("--figure", type=click.Choice([one.value for one in Figure]), required=True)
@click.option("--comparison", type=click.Choice([one.value for one in Comparison]), default=">")
@click.option("--threshold", type=float, required=True)
@click.option("--window-s", type=int, required=True, help="Whole minutes, in seconds.")
@click.option("--filter", "filters", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--group-by", help="An alert for each value of this name.")
@click.option("--min-count", type=click.IntRange(0), default=0)
@click.option("--for-s", type=click.IntRange(0), default=0)
@click.option("--severity", type=click.Choice([one.value for one in Severity]), default="warning")
def add_rule(tenant: str, name: str, filters: tuple[str, ...], **given: Any) -> None:
    """Add a rule NAME to TENANT (slug or id)."""
    wanted: dict[str, tuple[str, ...]] = {}
    for pair in filters:
        key, _, value = pair.partition("=")
        wanted[key] = (*wanted.get(key, ()), value)
    typed = {
        **given,
        "kind": Kind(given["kind"]),
        "figure": Figure(given["figure"]),
        "comparison": Comparison(given["comparison"]),
        "severity": Severity(given["severity"]),
    }
    rule = Rule(id=uuid7(), name=name, filters=wanted, **typed)
    try:
        check_rule(rule)
    except InvalidInput as error:
        raise click.BadParameter(error.detail) from error
    with maintaining() as session:
        found = the_tenant(session, tenant)
        if any(one.name == name for one in alert_rules.list_rules(session, found.id)):
            raise click.ClickException(f"There is a rule {name!r} already")
        alert_rules.add_rule(session, found.id, rule)
    audit(found.id, "create", "alert_rule", str(rule.id), after={"name": name})
    click.echo(f"Added rule {rule.id}")


@alerts.command("switch")
@click.argument("tenant")
@click.argument("rule")
@click.argument("state", type=click.Choice(["on", "off"]))
def switch_rule(tenant: str, rule: str, state: str) -> None:
    """Switch RULE (id or name) of TENANT on or off; off ends its alerts."""
    with maintaining() as session:
        found = the_tenant(session, tenant)
        before = _rule(session, found.id, rule)
        after = replace(before, enabled=state == "on")
        alert_rules.replace_rule(session, found.id, after)
    audit(
        found.id,
        "update",
        "alert_rule",
        str(before.id),
        before={"enabled": before.enabled},
        after={"enabled": after.enabled},
    )
    click.echo(f"Rule {before.name} is {state}")


@alerts.command("remove-rule")
@click.argument("tenant")
@click.argument("rule")
def remove_rule(tenant: str, rule: str) -> None:
    """Remove RULE (id or name) of TENANT, which ends its alerts."""
    with maintaining() as session:
        found = the_tenant(session, tenant)
        removed = _rule(session, found.id, rule)
        alert_rules.delete_rule(session, found.id, removed.id)
    audit(found.id, "delete", "alert_rule", str(removed.id), before={"name": removed.name})
    click.echo(f"Removed rule {removed.name}")


@alerts.command("channels")
@click.argument("tenant")
def list_channels(tenant: str) -> None:
    """List the channels of TENANT (slug or id)."""
    with maintaining() as session:
        found = alert_rules.list_channels(session, the_tenant(session, tenant).id)
    rows = [(one.id, one.name, one.kind, one.shown, one.created_at) for one in found]
    print_table(("ID", "NAME", "KIND", "TARGET", "CREATED"), rows)


@alerts.command("add-channel")
@click.argument("tenant")
@click.argument("name")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("target")
def add_channel(tenant: str, name: str, kind: str, target: str) -> None:
    """Add a channel NAME of KIND to TENANT, which leads to TARGET: a URL or an e-mail address."""
    try:
        shown = check_target(kind, target, settings())
    except ChannelError as error:
        raise click.BadParameter(error.detail, param_hint="TARGET") from error
    secret = new_secret() if kind == "webhook" else None
    channel = Channel(id=uuid7(), name=name, kind=kind, shown=shown, created_at=datetime.now(UTC))
    with maintaining() as session:
        found = the_tenant(session, tenant)
        if any(one.name == name for one in alert_rules.list_channels(session, found.id)):
            raise click.ClickException(f"There is a channel {name!r} already")
        try:
            vault = Vault(settings().credential_keys)
            kept = keep_target(vault, found.id, channel.id, kind, target, secret)
        except OpsledgerError as error:
            raise click.ClickException(error.detail) from error
        alert_rules.add_channel(
            session, found.id, channel, target=kept.target, credentials=kept.credentials
        )
    audit(found.id, "create", "alert_channel", str(channel.id), after={"name": name, "kind": kind})
    click.echo(f"Added channel {channel.id}")
    if secret:
        click.echo("The secret that verifies its signatures, which is shown this once:")
        click.echo(secret)


@alerts.command("remove-channel")
@click.argument("tenant")
@click.argument("channel")
def remove_channel(tenant: str, channel: str) -> None:
    """Remove CHANNEL (id or name) of TENANT."""
    with maintaining() as session:
        found = the_tenant(session, tenant)
        removed = _channel(session, found.id, channel)
        alert_rules.delete_channel(session, found.id, removed.id)
    audit(found.id, "delete", "alert_channel", str(removed.id), before={"name": removed.name})
    click.echo(f"Removed channel {removed.name}")


@alerts.command("test")
@click.argument("tenant")
@click.argument("channel")
def try_channel(tenant: str, channel: str) -> None:
    """Send a test message to CHANNEL (id or name) of TENANT, at once."""
    with maintaining() as session:
        found = the_tenant(session, tenant)
        wanted = _channel(session, found.id, channel)
        sent = delivery_store.queue_delivery(session, found.id, wanted.id, "test", {"alerts": []})
    audit(found.id, "test", "alert_channel", str(wanted.id))
    deliver_messages(database(), settings(), clock=lambda: datetime.now(UTC))
    with maintaining() as session:
        for one in delivery_store.list_deliveries(session, found.id, 1000):
            if one.id == sent:
                click.echo(f"{one.state}: {one.answer}")


@alerts.command("deliveries")
@click.argument("tenant")
@click.option("--limit", type=SHOWN_MAX, default=50, show_default=True)
def list_deliveries(tenant: str, limit: int) -> None:
    """List the newest messages of TENANT, and what became of them."""
    with maintaining() as session:
        tenant_id = the_tenant(session, tenant).id
        found = delivery_store.list_deliveries(session, tenant_id, limit)
        names = {one.id: one.name for one in alert_rules.list_channels(session, tenant_id)}
    print_table(
        ("CREATED", "CHANNEL", "EVENT", "STATE", "TRIES", "ANSWER"),
        [
            (
                one.created_at,
                names.get(one.channel_id, "deleted"),
                one.event,
                one.state,
                one.attempts,
                one.answer,
            )
            for one in found
        ],
    )


@alerts.command("evaluate")
def evaluate() -> None:
    """Evaluate all rules now, as beat has it done every 15 s."""
    try:
        done = evaluate_alerts(database(), now=datetime.now(UTC))
    except StoreUnavailable as error:
        raise click.ClickException(error.detail) from error
    events = ", ".join(f"{count} {event.value}" for event, count in done.events.items())
    click.echo(f"{done.rules} rules of {done.tenants} tenants: {events or 'nothing new'}")


def _rule(session: Any, tenant_id: Any, name: str) -> Rule:
    for rule in alert_rules.list_rules(session, tenant_id):
        if name in {rule.name, str(rule.id)}:
            return rule
    raise click.ClickException(f"There is no rule {name!r}; see: flask alerts rules TENANT")


def _channel(session: Any, tenant_id: Any, name: str) -> Channel:
    for channel in alert_rules.list_channels(session, tenant_id):
        if name in {channel.name, str(channel.id)}:
            return channel
    raise click.ClickException(f"There is no channel {name!r}; see: flask alerts channels TENANT")

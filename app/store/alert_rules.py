"""Alert rules and channels of a tenant.

A tenant has the default rules from the first time that anybody asks for its rules; what it changes
or deletes of them stays so.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, null, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from ..domain.alert_rules import DEFAULT_RULES, Comparison, Figure, Rule, Severity
from ..domain.records import Kind
from .alert_models import AlertChannelRow, AlertRuleRow

# Evaluation of a tenant begins with what came lately, however long its log is.
_BEGIN = text(
    """
    INSERT INTO alert_cursors (tenant_id, seq)
    SELECT :tenant_id, coalesce(
        (
            SELECT min(seq) - 1 FROM (
                SELECT seq, committed_at FROM log_batches WHERE tenant_id = :tenant_id
                ORDER BY seq DESC LIMIT 5000
            ) AS latest
            WHERE committed_at > now() - interval '6 hours'
        ),
        (SELECT max(seq) FROM log_batches WHERE tenant_id = :tenant_id),
        0
    )
    ON CONFLICT (tenant_id) DO NOTHING RETURNING seq
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Whom to tell, without its secrets."""

    id: UUID
    name: str
    kind: str
    shown: str
    created_at: datetime


_CHANNEL = [getattr(AlertChannelRow, name) for name in Channel.__slots__]


def ensure_rules(session: Session, tenant_id: UUID) -> None:
    """Give a tenant the default rules, once."""
    if session.execute(_BEGIN, {"tenant_id": tenant_id}).first() is None:
        return
    for values in DEFAULT_RULES:
        add_rule(session, tenant_id, Rule(id=uuid7(), **values))


def add_rule(session: Session, tenant_id: UUID, rule: Rule) -> None:
    """Add a rule, whose name must be free."""
    session.execute(insert(AlertRuleRow).values(tenant_id=tenant_id, **_values(rule)))


def replace_rule(session: Session, tenant_id: UUID, rule: Rule) -> None:
    """Give a rule other values."""
    session.execute(
        update(AlertRuleRow)
        .where(AlertRuleRow.tenant_id == tenant_id, AlertRuleRow.id == rule.id)
        .values(**_values(rule), updated_at=func.now())
    )


def delete_rule(session: Session, tenant_id: UUID, rule_id: UUID) -> None:
    """Delete a rule; the next evaluation ends its alerts."""
    where = (AlertRuleRow.tenant_id == tenant_id, AlertRuleRow.id == rule_id)
    session.execute(delete(AlertRuleRow).where(*where))


def list_rules(session: Session, tenant_id: UUID) -> list[Rule]:
    """The rules of a tenant, oldest first; the default ones come by asking."""
    ensure_rules(session, tenant_id)
    return rules_of(session, [tenant_id])[tenant_id]


def rules_of(session: Session, tenant_ids: Iterable[UUID]) -> dict[UUID, list[Rule]]:
    """The rules of several tenants, oldest first."""
    found: dict[UUID, list[Rule]] = defaultdict(list)
    columns = AlertRuleRow.__table__.columns
    statement = select(*columns).where(columns.tenant_id.in_(list(tenant_ids)))
    for row in session.execute(statement.order_by(columns.created_at, columns.id)).mappings():
        found[row["tenant_id"]].append(_rule(row))
    return found


def add_channel(
    session: Session,
    tenant_id: UUID,
    channel: Channel,
    *,
    target: str,
    credentials: bytes | None,
) -> None:
    """Add a channel, whose name must be free.

    Args:
        target: empty if it is among the encrypted credentials.
    """
    values = {**asdict(channel), "target": target, "credentials": credentials}
    # Inline: the web role may write what it must not read back.
    session.execute(insert(AlertChannelRow).inline().values(tenant_id=tenant_id, **values))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptChannel:
    """A channel with its secrets as they are kept; target and secret in the clear, if at all."""

    tenant_id: UUID
    id: UUID
    kind: str
    target: str
    secret: str | None
    credentials: bytes | None


def list_kept_channels(session: Session) -> list[KeptChannel]:
    """The channels of all tenants with their secrets as they are kept."""
    columns = [getattr(AlertChannelRow, name) for name in KeptChannel.__slots__]
    return [KeptChannel(**row) for row in session.execute(select(*columns)).mappings()]


def put_credentials(
    session: Session, tenant_id: UUID, channel_id: UUID, credentials: bytes
) -> None:
    """Keep secrets that were encrypted anew, and no longer in the clear."""
    where = (AlertChannelRow.tenant_id == tenant_id, AlertChannelRow.id == channel_id)
    statement = update(AlertChannelRow).where(*where)
    session.execute(statement.values(credentials=credentials, target="", secret=null()))


def delete_channel(session: Session, tenant_id: UUID, channel_id: UUID) -> None:
    """Delete a channel; what waits to be sent there is given up."""
    where = (AlertChannelRow.tenant_id == tenant_id, AlertChannelRow.id == channel_id)
    session.execute(delete(AlertChannelRow).where(*where))


def list_channels(session: Session, tenant_id: UUID) -> list[Channel]:
    """The channels of a tenant, oldest first."""
    return channels_of(session, [tenant_id])[tenant_id]


def channels_of(session: Session, tenant_ids: Iterable[UUID]) -> dict[UUID, list[Channel]]:
    """The channels of several tenants, oldest first."""
    found: dict[UUID, list[Channel]] = defaultdict(list)
    statement = select(AlertChannelRow.tenant_id, *_CHANNEL).where(
        AlertChannelRow.tenant_id.in_(list(tenant_ids))
    )
    for row in session.execute(statement.order_by(AlertChannelRow.created_at)).mappings():
        values = dict(row)
        found[values.pop("tenant_id")].append(Channel(**values))
    return found


def _values(rule: Rule) -> dict[str, Any]:
    return {
        **{name: getattr(rule, name) for name in Rule.__slots__},
        "kind": rule.kind.value,
        "figure": rule.figure.value,
        "comparison": rule.comparison.value,
        "severity": rule.severity.value,
        "filters": {name: list(values) for name, values in rule.filters.items()},
        "channels": list(rule.channels),
    }


def _rule(row: Any) -> Rule:
    values = {name: row[name] for name in Rule.__slots__}
    return Rule(
        **{
            **values,
            "kind": Kind(row["kind"]),
            "figure": Figure(row["figure"]),
            "comparison": Comparison(row["comparison"]),
            "severity": Severity(row["severity"]),
            "filters": {name: tuple(found) for name, found in row["filters"].items()},
            "channels": tuple(row["channels"]),
        }
    )

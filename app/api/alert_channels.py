"""The endpoints of channels: whom alerts are told to, and what became of telling."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from ..auth import requires
from ..channels import check_target, keep_target
from ..domain.access import Scope
from ..errors import ChannelError, Conflict, FieldError, InvalidInput, NotFound
from ..signing import new_secret
from ..store import alert_rules, deliveries
from ..store.alert_rules import Channel
from ..store.deliveries import Delivery
from ..vault import NoCredentialKeys
from .alert_schemas import (
    CHANNELS_MAX,
    ChannelSchema,
    DeliveriesQuery,
    DeliverySchema,
    MadeChannelSchema,
    NewChannel,
    QueuedSchema,
)
from .alerts import READING, managing, put_on_record
from .declared import path_uuid_parameter
from .identifiers import path_uuid
from .parsing import Blueprint
from .service import current_service

OF_CHANNEL = [path_uuid_parameter("channel_id")]
KEYS_RULE = "is a secret, which this platform cannot keep: it has no OPSLEDGER_CREDENTIAL_KEYS"

blueprint = Blueprint("alert_channels", __name__, description="Whom alerts are told to.")


@blueprint.route("/alerts/channels")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.no_query()
@blueprint.response(200, ChannelSchema(many=True))
def list_channels() -> list[Channel]:
    """List channels, oldest first, without their secrets."""
    with managing() as (session, tenant_id):
        return alert_rules.list_channels(session, tenant_id)


@blueprint.route("/alerts/channels", methods=["POST"])
@requires(Scope.ALERTS_WRITE, leaves="one audit log")
@blueprint.no_query()
@blueprint.arguments(NewChannel)
@blueprint.response(201, MadeChannelSchema)
@blueprint.alt_response(409, response="CONFLICT")
def create_channel(values: dict[str, Any]) -> dict[str, Any]:
    """Make a channel; the secret that verifies a webhook's signatures is shown this once."""
    kind, target = values["kind"], values["target"]
    try:
        shown = check_target(kind, target, current_service().settings)
    except ChannelError as error:
        raise InvalidInput(FieldError("target", f"{error.detail}.")) from error
    secret = new_secret() if kind == "webhook" else None
    channel = Channel(
        id=uuid7(), name=values["name"], kind=kind, shown=shown, created_at=datetime.now(UTC)
    )
    with managing() as (session, tenant_id):
        try:
            vault = current_service().providers.vault
            kept = keep_target(vault, tenant_id, channel.id, kind, target, secret)
        except NoCredentialKeys as error:
            raise InvalidInput(FieldError("target", KEYS_RULE)) from error
        there = alert_rules.list_channels(session, tenant_id)
        if any(one.name == channel.name for one in there):
            raise Conflict(f"There is a channel {channel.name!r} already")
        if len(there) >= CHANNELS_MAX:
            raise Conflict(f"A tenant has at most {CHANNELS_MAX} channels")
        alert_rules.add_channel(
            session, tenant_id, channel, target=kept.target, credentials=kept.credentials
        )
    put_on_record("create", "alert_channel", channel.id, after=_plain(channel))
    return {**{name: getattr(channel, name) for name in Channel.__slots__}, "secret": secret}


@blueprint.route("/alerts/channels/<channel_id>", methods=["DELETE"], parameters=OF_CHANNEL)
@requires(Scope.ALERTS_WRITE, leaves="one audit log")
@blueprint.no_query()
@blueprint.response(204)
def delete_channel(channel_id: str) -> None:
    """Delete a channel; what waits to be sent there is given up."""
    with managing() as (session, tenant_id):
        channel = _channel(session, tenant_id, channel_id)
        alert_rules.delete_channel(session, tenant_id, channel.id)
    put_on_record("delete", "alert_channel", channel.id, before=_plain(channel))


@blueprint.route("/alerts/channels/<channel_id>/test", methods=["POST"], parameters=OF_CHANNEL)
@requires(Scope.ALERTS_WRITE, leaves="one audit log, and a delivery")
@blueprint.no_query()
@blueprint.response(202, QueuedSchema)
def test_channel(channel_id: str) -> dict[str, Any]:
    """Send a test message; /alerts/deliveries tells what became of it."""
    with managing() as (session, tenant_id):
        channel = _channel(session, tenant_id, channel_id)
        sent = deliveries.queue_delivery(session, tenant_id, channel.id, "test", {"alerts": []})
    put_on_record("test", "alert_channel", channel.id)
    return {"id": sent, "channel_id": channel.id, "event": "test", "state": "queued"}


@blueprint.route("/alerts/deliveries")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(DeliveriesQuery, location="query")
@blueprint.response(200, DeliverySchema(many=True))
def list_deliveries(query: dict[str, Any]) -> list[Delivery]:
    """List messages and what became of them, newest first."""
    with managing() as (session, tenant_id):
        return deliveries.list_deliveries(session, tenant_id, query["limit"])


def _channel(session: Any, tenant_id: UUID, channel_id: str) -> Channel:
    wanted = path_uuid("channel_id", channel_id)
    for channel in alert_rules.list_channels(session, tenant_id):
        if channel.id == wanted:
            return channel
    raise NotFound


def _plain(channel: Channel) -> dict[str, Any]:
    return {"name": channel.name, "kind": channel.kind, "shown": channel.shown}

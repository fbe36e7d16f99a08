"""Shipments of hosts that have no broker: capture there sends what its spool holds, and forgets it
when Postgres here has it.

What is taken goes to the broker at once, under the shipment's id; it is on no disk of this host.
"""

from collections import Counter
from typing import Any
from uuid import UUID

import flask
import marshmallow as ma

from ..auth import lacking, requires
from ..capture.recorder import current_recorder
from ..domain.access import OPERATOR_TENANT_ID, Scope
from ..domain.identity import is_record_id, read_uuid
from ..domain.records import Kind
from ..errors import FieldError, InvalidInput
from ..store.presence import held_ids
from ..telemetry import INGESTED
from .bodies import BATCH_RECORDS_MAX, read_batch
from .fields import Uuid
from .identifiers import UUID_RULE
from .ingest import RejectedSchema, intake_of, rejections
from .intake import WHOLE, Intake
from .parsing import Blueprint
from .schemas import described
from .service import current_service, current_tenant

RECEIPTS_MAX = 100  # asked for at once, so that the query stays within its bound
KIND_RULE = f"must be {' or '.join(kind.value for kind in Kind)}"
NOTED = "the shipper of a host asks, some times a second, what has arrived"

blueprint = Blueprint("shipments", __name__, description="Shipments of hosts without a broker.")


class ShipmentQuery(ma.Schema):
    """Which shipment it is."""

    id = described(Uuid(required=True), "Made by the sender; what is sent again has the same.")


class ShipmentAnswerSchema(ma.Schema):
    """What became of the items of a shipment."""

    accepted = described(ma.fields.Integer(required=True), "Records in the broker now.")
    rejected = described(
        ma.fields.List(ma.fields.Nested(RejectedSchema), required=True),
        "What is no record; it would be rejected again.",
    )
    epoch = described(
        ma.fields.String(required=True, allow_none=True),
        "Another than before: the broker has lost what it held. Send again what is unconfirmed.",
    )


class ReceiptQuery(ma.Schema):
    """What is asked for; up to 100 of all together."""

    shipment = ma.fields.List(Uuid(), metadata={"description": "Repeatable."})
    action = ma.fields.List(Uuid(), metadata={"description": "Of an action log; repeatable."})
    audit = ma.fields.List(Uuid(), metadata={"description": "Of an audit log; repeatable."})
    tenant_id = described(Uuid(), "Whose records; the key's tenant if not given.")


class ReceiptSchema(ma.Schema):
    """Those of what was asked for that Postgres has."""

    shipments = ma.fields.List(ma.fields.UUID(), required=True)
    actions = ma.fields.List(ma.fields.UUID(), required=True)
    audits = ma.fields.List(ma.fields.UUID(), required=True)


_ITEM = {
    "type": "object",
    "description": "An item of /ingest/actions or /ingest/audits, with its id.",
    "required": ["kind", "id"],
    "properties": {
        "kind": {"type": "string", "enum": [kind.value for kind in Kind]},
        "id": {"type": "string", "format": "uuid"},
    },
}
_BODY = {
    "required": True,
    "description": "At most 5 MB, as sent and inflated; Content-Encoding: gzip is understood.",
    "content": {
        "application/json": {
            "schema": {
                "type": "array",
                "minItems": 1,
                "maxItems": BATCH_RECORDS_MAX,
                "items": _ITEM,
            }
        }
    },
}


@blueprint.route("/ingest/shipments", methods=["POST"])
@requires(Scope.LOGS_WRITE, leaves="the records, each with the request in metadata.ingest")
@blueprint.arguments(ShipmentQuery, location="query", as_kwargs=True)
@blueprint.doc(requestBody=_BODY)
@blueprint.response(202, ShipmentAnswerSchema)
def ingest_shipment(id: UUID) -> dict[str, Any]:  # noqa: A002
    """Take what the spool of a host without a broker holds.

    It is not safe yet: ask for its receipt, and send it again while there is none. An action type
    that does not exist here makes a dead letter. A key of the operator sends for any tenant.
    """
    intakes = _Intakes()
    lines: list[bytes] = []
    rejected: dict[int, tuple[FieldError, ...]] = {}
    for index, item in enumerate(read_batch(flask.request)):
        try:
            lines.append(intakes.line(item))
        except InvalidInput as error:
            rejected[index] = error.errors
    epoch = current_service().relay.hand_on(current_tenant(), id, lines) if lines else None
    intakes.count()
    return {"accepted": len(lines), "rejected": rejections(rejected), "epoch": epoch}


@blueprint.route("/ingest/receipts")
@requires(Scope.LOGS_WRITE, leaves_nothing=NOTED)
@blueprint.arguments(ReceiptQuery, location="query")
@blueprint.response(200, ReceiptSchema)
def show_receipts(query: dict[str, Any]) -> dict[str, list[UUID]]:
    """Tell which shipments and records Postgres has, of those asked for."""
    wanted = {name: query.get(name, []) for name in ("shipment", *Kind)}
    if sum(map(len, wanted.values())) > RECEIPTS_MAX:
        rule = f"must ask for at most {RECEIPTS_MAX} shipments and records"
        raise InvalidInput(FieldError("query", rule))
    found = current_service().relay.confirmed(current_tenant(), wanted["shipment"])
    return {"shipments": found, **_held(wanted, _tenant_of(query.get("tenant_id")))}


def _held(wanted: dict[str, list[UUID]], tenant_id: UUID) -> dict[str, list[UUID]]:
    ids = {kind: [each for each in wanted[kind] if is_record_id(each)] for kind in Kind}
    found: dict[str, list[UUID]] = {f"{kind.value}s": [] for kind in Kind}
    if any(ids.values()):
        with current_service().database.tenant(tenant_id) as session:
            for kind in Kind:
                found[f"{kind.value}s"] = sorted(held_ids(session, tenant_id, kind, ids[kind]))
    return found


def _tenant_of(named: UUID | None) -> UUID:
    """Whose records they are, if the key may say so.

    Raises:
        Forbidden: it is another tenant's key.
    """
    own = current_tenant()
    if named is None or named == own:
        return own
    if own != OPERATOR_TENANT_ID:
        raise lacking(Scope.LOGS_WRITE, "Only keys of the operator tenant ship for other tenants")
    return named


class _Intakes:
    """Judges the items of a request, of either kind and of any tenant that its key may name."""

    def __init__(self) -> None:
        self._intakes: dict[tuple[Kind, UUID], Intake] = {}
        self._recorder = current_recorder()
        self._taken: Counter[Kind] = Counter()

    def line(self, item: object) -> bytes:
        """The line of an item.

        Raises:
            InvalidInput: it is no record.
            Forbidden: it is of a tenant that the key may not send for; the request as a whole has
                to wait for another key.
        """
        if not isinstance(item, dict):
            raise InvalidInput(FieldError(WHOLE, "must be an object"))
        kind, values = _kind_of(item)
        if read_uuid(values.get("id")) is None:
            raise InvalidInput(FieldError("id", UUID_RULE))
        tenant_id = _tenant_of(read_uuid(values.get("tenant_id")))
        intake = self._intakes.get((kind, tenant_id))
        if intake is None:
            intake = intake_of(kind, tenant_id, self._recorder.make_as_named)
            self._intakes[kind, tenant_id] = intake
        line = self._recorder.line(intake.record(values))
        self._taken[kind] += 1
        return line

    def count(self) -> None:
        """Count what was taken."""
        for kind, number in self._taken.items():
            INGESTED.labels(kind.value, "accepted").inc(number)


def _kind_of(item: dict[str, Any]) -> tuple[Kind, dict[str, Any]]:
    values = dict(item)
    try:
        return Kind(values.pop("kind", None)), values
    except ValueError as error:
        raise InvalidInput(FieldError("kind", KIND_RULE)) from error

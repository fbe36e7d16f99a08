"""The ingest endpoints: records of systems that are not written in Python.

An accepted record is on this host's disk before the answer leaves. Every item of a request is
accepted, a duplicate of an accepted one, or rejected with its reasons.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import flask
import marshmallow as ma

from ..auth import requires
from ..capture.hooks import client_ip, request_id
from ..capture.recorder import current_recorder
from ..domain.access import Scope
from ..domain.records import (
    IDENTIFIER_CHARS_MAX,
    INTEGER_MAX,
    IP_CHARS_MAX,
    NAME_CHARS_MAX,
    Kind,
    Record,
)
from ..errors import FieldError, InvalidInput, NotKept
from ..telemetry import INGESTED
from .bodies import BATCH_RECORDS_MAX, read_batch
from .fields import Timestamp, text, whole_number
from .intake import WHOLE, Intake
from .parsing import Blueprint
from .schemas import FieldErrorSchema, described
from .service import current_service, current_tenant

UNKEPT_RULES = {
    "spool_full": "was not kept, the spool of this host is full: send it again later",
    "append_failed": "was not kept, the disk of this host refused it: send it again later",
}

blueprint = Blueprint("ingest", __name__, description="Records of systems of any language.")

Answer = tuple[dict[str, Any], int]


class ItemSchema(ma.Schema):
    """What records of both kinds may have."""

    id = described(ma.fields.UUID(allow_none=True), "A UUIDv7 of the caller; its time is kept.")
    created_at = described(
        Timestamp(allow_none=True), "If it was not now; at most 5 minutes ahead."
    )
    external_id = described(
        text(1, IDENTIFIER_CHARS_MAX, allow_none=True),
        "The caller's name for the record, beside created_at; the id follows from the two.",
    )
    tenant_id = described(ma.fields.UUID(allow_none=True), "The API key's tenant, if given.")
    operation_id = text(1, IDENTIFIER_CHARS_MAX, allow_none=True)
    metadata = ma.fields.Dict(allow_none=True)


class IngestActionSchema(ItemSchema):
    """A provider operation that was made elsewhere."""

    action_type = ma.fields.String(required=True)
    provider_name = text(1, NAME_CHARS_MAX, required=True)
    status = described(
        ma.fields.String(required=True),
        "pending, success, failure, timeout or retry, in any case.",
    )
    execution_time_ms = whole_number(0, INTEGER_MAX, required=True)
    request_payload = ma.fields.Raw(allow_none=True)
    response_data = ma.fields.Raw(allow_none=True)
    error_message = ma.fields.String(allow_none=True)


class IngestAuditSchema(ItemSchema):
    """A system change that was made elsewhere."""

    action = text(1, NAME_CHARS_MAX, required=True)
    resource_type = text(1, NAME_CHARS_MAX, required=True)
    resource_id = text(1, IDENTIFIER_CHARS_MAX, required=True)
    user_id = text(1, IDENTIFIER_CHARS_MAX, allow_none=True)
    changes = ma.fields.Dict(allow_none=True)
    ip_address = text(1, IP_CHARS_MAX, allow_none=True)
    user_agent = ma.fields.String(allow_none=True)


class RejectedSchema(ma.Schema):
    """An item that was not accepted."""

    index = described(ma.fields.Integer(required=True), "Its place in the request, from 0.")
    errors = ma.fields.List(ma.fields.Nested(FieldErrorSchema), required=True)


class IngestAnswerSchema(ma.Schema):
    """What became of the items of a request."""

    accepted = described(ma.fields.Integer(required=True), "Records on disk now.")
    duplicates = described(
        ma.fields.Integer(required=True), "Items whose id an accepted one of this request has."
    )
    ids = described(
        ma.fields.List(ma.fields.UUID(), required=True), "Of the accepted, in the order given."
    )
    rejected = ma.fields.List(ma.fields.Nested(RejectedSchema), required=True)


ITEMS: dict[Kind, ma.Schema] = {
    Kind.ACTION: IngestActionSchema(),
    Kind.AUDIT: IngestAuditSchema(),
}


def _body_of(kind: Kind) -> dict[str, Any]:
    """A request body for OpenAPI."""
    array = {"type": "array", "minItems": 1, "maxItems": BATCH_RECORDS_MAX, "items": ITEMS[kind]}
    words = "At most 5 MB, as sent and inflated; Content-Encoding: gzip is understood."
    return {
        "required": True,
        "description": words,
        "content": {"application/json": {"schema": array}},
    }


@blueprint.route("/ingest/actions", methods=["POST"])
@requires(Scope.LOGS_WRITE, leaves="the records, each with the request in metadata.ingest")
@blueprint.no_query()
@blueprint.doc(requestBody=_body_of(Kind.ACTION))
@blueprint.response(202, IngestAnswerSchema)
def ingest_actions() -> Answer:
    """Keep provider operations that were made elsewhere.

    Each item is judged by itself. Accepted ones are on this host's disk and will be in the log.
    """
    return _ingest(Kind.ACTION)


@blueprint.route("/ingest/audits", methods=["POST"])
@requires(Scope.LOGS_WRITE, leaves="the records, each with the request in metadata.ingest")
@blueprint.no_query()
@blueprint.doc(requestBody=_body_of(Kind.AUDIT))
@blueprint.response(202, IngestAnswerSchema)
def ingest_audits() -> Answer:
    """Keep system changes that were made elsewhere.

    Each item is judged by itself. Accepted ones are on this host's disk and will be in the log.
    """
    return _ingest(Kind.AUDIT)


def _ingest(kind: Kind) -> Answer:
    intake = open_intake(kind)
    rejected: dict[int, tuple[FieldError, ...]] = {}
    records: dict[UUID, Record] = {}
    places: dict[UUID, list[int]] = {}
    for index, item in enumerate(read_batch(flask.request)):
        try:
            record = intake.record(item)
        except InvalidInput as error:
            rejected[index] = error.errors
        else:
            records.setdefault(record.id, record)
            places.setdefault(record.id, []).append(index)
    for record_id, reason in keep(records).items():
        unkept = (FieldError(WHOLE, UNKEPT_RULES[reason]),)
        rejected |= dict.fromkeys(places.pop(record_id), unkept)
    return _answer(kind, places, rejected), 202


def open_intake(kind: Kind) -> Intake:
    """What judges the items of this request that are of one kind."""
    return intake_of(kind, current_tenant(), current_recorder().make)


def intake_of(
    kind: Kind, tenant_id: UUID, make: Callable[[Kind, dict[str, Any]], Record]
) -> Intake:
    """What judges items of this request as one tenant's, of one kind.

    Args:
        make: the record of an item's values; raises InvalidRecord.
    """
    settings = current_service().settings
    address = (client_ip(settings.trusted_proxies) or "")[:IP_CHARS_MAX] or None
    return Intake(
        make=make,
        kind=kind,
        fields=ITEMS[kind].fields,
        tenant_id=tenant_id,
        key=os.fsencode(settings.external_id_key),
        now=datetime.now(UTC),
        origin={"request_id": request_id(), "ip_address": address},
    )


def keep(records: dict[UUID, Record]) -> dict[UUID, str]:
    """Append the records; what was not kept, and why.

    Raises:
        NotKept: none was, so that the whole request is best sent again.
    """
    unkept = current_recorder().keep_accepted(records.values()) if records else {}
    if records and len(unkept) == len(records):
        raise NotKept
    return unkept


def _answer(
    kind: Kind, places: dict[UUID, list[int]], rejected: dict[int, tuple[FieldError, ...]]
) -> dict[str, Any]:
    duplicates = sum(len(indexes) - 1 for indexes in places.values())
    for outcome, count in (
        ("accepted", len(places)),
        ("duplicate", duplicates),
        ("rejected", len(rejected)),
    ):
        INGESTED.labels(kind.value, outcome).inc(count)
    return {
        "accepted": len(places),
        "duplicates": duplicates,
        "ids": list(places),
        "rejected": rejections(rejected),
    }


def rejections(rejected: dict[int, tuple[FieldError, ...]]) -> list[dict[str, Any]]:
    """What is wrong with items, by their place in the request, as answers have it."""
    return [
        {"index": index, "errors": [asdict(error) for error in rejected[index]]}
        for index in sorted(rejected)
    ]

"""Webhooks: signed batches of records as a JSON array, or as CloudEvents."""

import time
from collections.abc import Sequence
from typing import Any

from uuid_utils.compat import uuid7

from ..domain.codec import dump_json
from ..domain.forwarding import Outgoing
from ..domain.identity import format_time
from ..signing import sign
from .http import Poster, check_address
from .protocol import COMPRESS, MIB, TLS_ASKED, URL, Account, Asked, Receipt, SinkKind

ROWS_MAX = 500
BYTES_MAX = 4 * MIB
CLOUD_EVENTS = "application/cloudevents-batch+json; charset=utf-8"  # CloudEvents 1.0.2, JSON, 4


class WebhookSink:
    """POSTs each batch under an id and a signature of its own."""

    rows_max = ROWS_MAX
    bytes_max = BYTES_MAX
    record_bytes_max = BYTES_MAX

    def __init__(self, account: Account) -> None:
        self._poster = Poster(account)
        self._url = account.values["url"]
        self._secret = account.secrets["secret"]
        self._cloud_events = account.values["cloud_events"]

    def deliver(self, records: Sequence[Outgoing]) -> Receipt:
        """Deliver one batch; any answer of 2xx takes it."""
        if self._cloud_events:
            body = dump_json([_cloud_event(record) for record in records])
        else:
            body = b"[" + b",".join(record.body for record in records) + b"]"
        message_id, timestamp = str(uuid7()), int(time.time())
        headers = {
            "Content-Type": CLOUD_EVENTS if self._cloud_events else "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._secret, message_id, timestamp, body),
        }
        return Receipt(words=self._poster.post(self._url, body, headers).words)

    def close(self) -> None:
        """Let go of connections."""
        self._poster.close()


def _cloud_event(record: Outgoing) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(record.id),
        "source": f"/opsledger/tenants/{record.tenant_id}",
        "type": f"com.opsledger.{record.kind.value}",
        "time": format_time(record.created_at),
        "datacontenttype": "application/json",
        "data": record.document,
    }


WEBHOOK = SinkKind(
    name="webhook",
    words="Signed batches of JSON, or CloudEvents.",
    opener=WebhookSink,
    check=check_address,
    asked=(
        URL,
        Asked(name="cloud_events", words="Each record as one.", kind="flag", default=False),
        Asked(
            name="secret",
            words="Of its signatures: whsec_…; one is made if none is given.",
            secret=True,
        ),
        COMPRESS,
        *TLS_ASKED,
    ),
)

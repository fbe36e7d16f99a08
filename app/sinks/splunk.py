"""Splunk: the HTTP Event Collector, with its acknowledgements if they are on there."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from ..domain.codec import dump_json
from ..domain.forwarding import Outgoing
from ..errors import SinkError
from .http import Answer, Poster, check_address
from .protocol import COMPRESS, MIB, TLS_ASKED, URL, Account, Asked, Receipt, SinkKind

ROWS_MAX = 500
BYTES_MAX = MIB  # what Splunk recommends, and Splunk Cloud takes
RECORD_BYTES_MAX = 900_000
ACK_S = 12.0  # until a batch must be acknowledged; less than the lease of a destination
LOOK_S = 0.25
# Codes of HEC about the token, the channel or the index: not about the records.
ABOUT_THE_WAY = frozenset({1, 2, 3, 4, 7, 10, 11, 14})


class SplunkSink:
    """POSTs events one behind the other, and asks until they are indexed."""

    rows_max = ROWS_MAX
    bytes_max = BYTES_MAX
    record_bytes_max = RECORD_BYTES_MAX

    def __init__(self, account: Account) -> None:
        values = account.values
        self._poster = Poster(account)
        self._url = values["url"].rstrip("/")
        self._acknowledged = values["acknowledged"]
        self._channel = str(uuid4())
        self._about = {"source": values["source"], "host": "opsledger"}
        if values.get("index"):
            self._about["index"] = values["index"]
        self._headers = {
            "Content-Type": "application/json",
            "Authorization": f"Splunk {account.secrets['token']}",
            "X-Splunk-Request-Channel": self._channel,
        }

    def deliver(self, records: Sequence[Outgoing]) -> Receipt:
        """Deliver one batch; with acknowledgements it counts once Splunk has it on disk."""
        body = b"\n".join(dump_json(self._event(record)) for record in records)
        answer = self._post("/services/collector/event", body)
        if self._acknowledged:
            self._await(_number(answer))
        return Receipt(words=answer.words)

    def close(self) -> None:
        """Let go of connections."""
        self._poster.close()

    def _event(self, record: Outgoing) -> dict[str, Any]:
        return {
            **self._about,
            "time": round(record.created_at.timestamp(), 3),
            "sourcetype": f"opsledger:{record.kind.value}",
            "event": record.document,
            "fields": {"record_id": str(record.id), "tenant_id": str(record.tenant_id)},
        }

    def _post(self, path: str, body: bytes) -> Answer:
        try:
            return self._poster.post(f"{self._url}{path}", body, self._headers)
        except SinkError as error:
            if error.permanent and _code(error.detail) in ABOUT_THE_WAY:
                raise SinkError(error.detail, denied=True) from error
            raise

    def _await(self, number: int) -> None:
        path = f"/services/collector/ack?channel={self._channel}"
        deadline = time.monotonic() + ACK_S
        while time.monotonic() < deadline:
            answer = self._post(path, dump_json({"acks": [number]}))
            if _acks(answer).get(str(number)) is True:
                return
            time.sleep(LOOK_S)
        raise SinkError(f"Batch {number} was not acknowledged within {ACK_S:g} s", unsure=True)


def _number(answer: Answer) -> int:
    number = _parsed(answer).get("ackId")
    if not isinstance(number, int):
        raise SinkError("It gives no ackId: turn indexer acknowledgement on there", denied=True)
    return number


def _acks(answer: Answer) -> Mapping[str, Any]:
    found = _parsed(answer).get("acks")
    return found if isinstance(found, Mapping) else {}


def _parsed(answer: Answer) -> Mapping[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError as error:
        raise SinkError(f"This is no answer of HEC: {answer.words}", unsure=True) from error
    return found if isinstance(found, Mapping) else {}


def _code(words: str) -> int | None:
    try:
        return int(json.loads(words[words.index("{") :])["code"])
    except (ValueError, KeyError, TypeError):
        return None


SPLUNK = SinkKind(
    name="splunk",
    words="The HTTP Event Collector of Splunk.",
    opener=SplunkSink,
    check=check_address,
    asked=(
        URL,
        Asked(name="token", words="Of the collector.", secret=True, required=True),
        Asked(name="index", words="In place of the token's own."),
        Asked(name="source", words="As it is shown there.", default="opsledger"),
        Asked(
            name="acknowledged",
            words="Whether indexer acknowledgement is on for the token.",
            kind="flag",
            default=False,
        ),
        COMPRESS,
        *TLS_ASKED,
    ),
)

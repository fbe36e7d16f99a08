"""Elasticsearch and OpenSearch: `_bulk` into data streams, each record under its own id."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ..domain.codec import dump_json
from ..domain.forwarding import Format, Outgoing
from ..domain.identity import format_time
from ..errors import SinkError
from .http import Poster, check_address
from .protocol import COMPRESS, MIB, TLS_ASKED, URL, Account, Asked, Receipt, SinkKind

ROWS_MAX = 1000
BYTES_MAX = 8 * MIB  # of a request; larger ones are no faster
RECORD_BYTES_MAX = 4 * MIB
WORDS_CHARS_MAX = 300
THERE = 409  # it has a document of this id: a repeat
TAKEN = frozenset({200, 201, THERE})
BUSY = frozenset({408, 429})


class ElasticsearchSink:
    """Creates a document for each record; one that is there already is not made twice."""

    rows_max = ROWS_MAX
    bytes_max = BYTES_MAX
    record_bytes_max = RECORD_BYTES_MAX

    def __init__(self, account: Account) -> None:
        values = account.values
        self._poster = Poster(account)
        self._url = f"{values['url'].rstrip('/')}/_bulk"
        self._index = values.get("index")
        self._namespace = values["namespace"]
        self._headers = {"Content-Type": "application/x-ndjson", **_authorization(account.secrets)}

    def deliver(self, records: Sequence[Outgoing]) -> Receipt:
        """Deliver one batch; the answer tells of each record."""
        lines: list[bytes] = []
        for record in records:
            lines += self._lines(record)
        answer = self._poster.post(self._url, b"\n".join(lines) + b"\n", self._headers)
        try:
            items = json.loads(answer.body)["items"]
            found = [next(iter(item.values())) for item in items]
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
            raise SinkError(f"This is no answer of _bulk: {answer.words}") from error
        if len(found) != len(records):
            raise SinkError(f"It told of {len(found)} records, and got {len(records)}")
        return _receipt(records, found)

    def close(self) -> None:
        """Let go of connections."""
        self._poster.close()

    def _lines(self, record: Outgoing) -> list[bytes]:
        document = {"@timestamp": format_time(record.created_at), **record.document}
        index = self._index
        if not index:
            dataset = f"opsledger.{record.kind.value}"
            index = f"logs-{dataset}-{self._namespace}"
            document["data_stream"] = {
                "type": "logs",
                "dataset": dataset,
                "namespace": self._namespace,
            }
        action = {"create": {"_index": index, "_id": str(record.id)}}
        return [dump_json(action), dump_json(document)]


def _receipt(records: Sequence[Outgoing], found: Sequence[Mapping[str, Any]]) -> Receipt:
    refused: dict[UUID, str] = {}
    again: dict[UUID, str] = {}
    for record, item in zip(records, found, strict=True):
        status = int(item.get("status", 500))
        if status in TAKEN:
            continue
        error = item.get("error") or {}
        known = isinstance(error, Mapping)
        words = f"{error.get('type')}: {error.get('reason')}" if known else str(error)
        told = again if status in BUSY or status >= 500 else refused
        told[record.id] = f"{status} {words}"[:WORDS_CHARS_MAX]
    taken = len(records) - len(refused) - len(again)
    return Receipt(refused, again, f"{taken} of {len(records)} taken")


def _authorization(secrets: Mapping[str, str]) -> dict[str, str]:
    if secrets.get("api_key"):
        return {"Authorization": f"ApiKey {secrets['api_key']}"}
    if secrets.get("password"):
        pair = f"{secrets.get('username', '')}:{secrets['password']}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


ELASTICSEARCH = SinkKind(
    name="elasticsearch",
    words="_bulk of Elasticsearch 8 and later and of OpenSearch, into data streams.",
    opener=ElasticsearchSink,
    check=check_address,
    asked=(
        URL,
        Asked(name="namespace", words="Of the data streams.", default="default"),
        Asked(name="index", words="One index or data stream for all, instead."),
        Asked(name="api_key", words="Encoded, as Elasticsearch shows it.", secret=True),
        Asked(name="username", words="With a password, instead.", secret=True),
        Asked(name="password", words="Of the user.", secret=True),
        COMPRESS,
        *TLS_ASKED,
    ),
    format=Format.ECS,
    drops_repeats=True,
)

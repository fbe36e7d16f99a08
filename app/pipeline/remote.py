"""Shipping without a broker: shipments go to another Opsledger by its ingest API, and are confirmed
by what it says its Postgres holds.

The rules are those of a broker: what is not confirmed stays on this host's disk and is sent again.
"""

import gzip
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid5

import urllib3
from urllib3.exceptions import HTTPError

from ..config import Settings
from ..domain.records import Record
from ..domain.shipped import item_of, parts
from ..errors import LedgerAway, StoreUnavailable
from ..spool import Spool
from ..spool.aside import DAMAGED, set_aside
from ..telemetry import LOST, get_logger
from .shipper import Shipper

SHIPMENTS_PATH = "/api/v1/ingest/shipments"
RECEIPTS_PATH = "/api/v1/ingest/receipts"
ASKED_MAX = 100  # receipts of one request, as the ingest API has it
GZIP_LEVEL = 1  # records are mostly words: higher levels take longer and gain little
SHOWN_CHARS_MAX = 500  # of an answer's own words in a log line

log = get_logger(__name__)


class RemoteLedger:
    """Another Opsledger, as a shipper of this host speaks with it."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.ship_url
        self._key = settings.ship_key
        self._timeout_s = settings.ship_timeout_s
        self._folder = settings.spool_dir
        self._pool = urllib3.PoolManager(maxsize=2, retries=False)
        self._open: dict[UUID, set[UUID]] = {}  # of a shipment, the parts that are not confirmed
        self._told: set[UUID] = set()  # parts of which it is known what was refused

    def publish(self, shipment_id: UUID, payloads: tuple[bytes, ...]) -> bytes | None:
        """Send a shipment, in as many requests as its size takes; returns the epoch of the broker
        behind them.

        Raises:
            LedgerAway: not all of it was taken; to be sent again.
        """
        epoch: str | None = None
        unconfirmed = self._open.get(shipment_id)
        items, broken = _items(payloads)
        named = {uuid5(shipment_id, str(n)): part for n, part in enumerate(parts(items))}
        if unconfirmed is None:
            unconfirmed = self._open[shipment_id] = set(named)
            self._set_aside(shipment_id, [("unknown", line) for line in broken])
        for part_id in sorted(unconfirmed):
            said = self._send(part_id, named[part_id])
            if part_id not in self._told:
                self._told.add(part_id)
                self._keep_refused(part_id, named[part_id], said["rejected"])
            if not said["accepted"]:
                unconfirmed.discard(part_id)  # nothing of it will ever be there
                self._told.discard(part_id)
            epoch = said["epoch"] or epoch
        return epoch.encode() if epoch else None

    def confirmed(self, shipment_ids: list[UUID]) -> set[UUID]:
        """Which of these shipments the other's Postgres holds, whole.

        Raises:
            LedgerAway: it does not say.
        """
        asked = [part for each in shipment_ids for part in self._open.get(each, ())]
        found: set[UUID] = set()
        for start in range(0, len(asked), ASKED_MAX):
            query = [("shipment", str(part)) for part in asked[start : start + ASKED_MAX]]
            found.update(map(UUID, self._ask(query)["shipments"]))
        done = set()
        for shipment_id in shipment_ids:
            waiting = self._open.get(shipment_id)
            if waiting is not None:
                waiting -= found
                self._told -= found
                if not waiting:
                    del self._open[shipment_id]
                    done.add(shipment_id)
        return done

    def holds(self, record: Record) -> bool:
        """Whether the other's log has a record.

        Raises:
            StoreUnavailable: it does not say.
        """
        query = [(record.kind.value, str(record.id)), ("tenant_id", str(record.tenant_id))]
        try:
            found: list[str] = self._ask(query)[f"{record.kind.value}s"]
        except LedgerAway as error:
            raise StoreUnavailable from error
        return str(record.id) in found

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _keep_refused(self, part_id: UUID, part: list[bytes], rejected: list[Any]) -> None:
        """What the other refuses it would refuse again: told with why, and set aside."""
        items = [part[one["index"]] for one in rejected]
        for one in rejected:
            log.error("record refused by the ledger", shipment=str(part_id), errors=one["errors"])
        self._set_aside(part_id, [(json.loads(item)["kind"], item) for item in items])

    def _set_aside(self, name: UUID, refused: list[tuple[str, bytes]]) -> None:
        """Count what will not arrive, by its kind, and keep its bytes for people to look at."""
        for kind, _ in refused:
            LOST.labels(kind, "refused").inc()
        if refused:
            log.error("records set aside that no ledger takes", file=str(name), count=len(refused))
            data = b"\n".join(item for _, item in refused)
            set_aside(self._folder / f"refused-{name}{DAMAGED}", data)

    def _send(self, part_id: UUID, part: list[bytes]) -> Any:
        body = gzip.compress(b"[" + b",".join(part) + b"]", GZIP_LEVEL)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return self._call("POST", SHIPMENTS_PATH, [("id", str(part_id))], headers, body)

    def _ask(self, query: Iterable[tuple[str, str]]) -> Any:
        return self._call("GET", RECEIPTS_PATH, query)

    def _call(
        self,
        method: str,
        path: str,
        query: Iterable[tuple[str, str]],
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Any:
        try:
            answer = self._pool.request(
                method,
                f"{self._url}{path}?{urlencode(list(query))}",
                headers={"X-API-Key": self._key, **(headers or {})},
                body=body,
                timeout=self._timeout_s,
                redirect=False,
            )
        except HTTPError as error:
            raise LedgerAway(f"{self._url} does not answer: {error}") from error
        if answer.status not in (200, 202):
            said = answer.data[:SHOWN_CHARS_MAX].decode("utf-8", "replace")
            raise LedgerAway(f"{self._url} answers with status {answer.status}: {said}")
        try:
            return json.loads(answer.data)
        except ValueError as error:
            raise LedgerAway(f"{self._url} does not answer with JSON") from error


def _items(payloads: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Lines as items of the ingest API, and those lines that are no records."""
    items: list[bytes] = []
    broken: list[bytes] = []
    for payload in payloads:
        try:
            items.append(item_of(payload))
        except ValueError:
            broken.append(payload)
    return items, broken


def open_remote_shipper(
    spool: Spool, ledger: RemoteLedger, settings: Settings, learn: Callable[[], None]
) -> Shipper:
    """A shipper that is not yet running.

    Args:
        learn: called now and then.
    """
    return Shipper(
        spool,
        publish=ledger.publish,
        confirmed=ledger.confirmed,
        learn=learn,
        settings=settings,
    )

"""The live stream: a log's records as server-sent events or over a WebSocket, in commit order, each
exactly once.

An event is a page of the tail and names the cursor behind it, so who was cut off goes on from the
last event it has. Nothing is buffered for a slow reader: it is read for when it is ready to go on.
"""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

import flask
import orjson

from ..auth import DOOR, READING, Door, has_scope, key_digest, requires
from ..domain.access import Scope
from ..errors import CursorTooOld, QueryTimeout, StoreUnavailable, Unauthenticated
from ..priority import yield_to_others
from ..store.action_logs import ActionLogRepository
from ..store.audit_logs import AuditLogRepository
from ..store.cooperative import is_cooperative, wait_cooperatively
from . import actions, audits
from .events import Event
from .listing import tail_of
from .parsing import Blueprint
from .schemas import ActionLogSummarySchema, AuditLogSummarySchema, StreamQuery
from .service import Service, current_service, current_tenant
from .shared_tail import AWAY_S, LOOK_S, Place, SharedTail, SharedTails
from .tickets import admits_ticket
from .websocket import Upgrade, wants_websocket
from .withholding import all_withheld, refuse_search

blueprint = Blueprint("stream", __name__, description="Records as they are committed.")

TAILS = "opsledger-shared-tails"  # the key in Flask's app.extensions
ROWS_MAX = 100  # of one event
BEAT_S = 2.0  # between two signs of life, at each of which the key is looked up anew
RETRY_MS = 1000  # until a client comes back

LOGS: dict[str, tuple[Any, Any, Any]] = {
    "actions": (ActionLogRepository, actions.filters_of, ActionLogSummarySchema(many=True)),
    "audits": (AuditLogRepository, audits.filters_of, AuditLogSummarySchema(many=True)),
}
EVENT = {
    "type": "object",
    "description": "One server-sent event, or message of a WebSocket.",
    "properties": {
        "event": {"type": "string"},
        "id": {"type": "string", "description": "A cursor: where to go on."},
        "data": {"type": "string", "description": "JSON: an array of records, or why it ended."},
    },
}
ALIVE = Event("alive")
ENDED = Event("ended", data=b'{"detail":"this API key is no longer accepted"}')


@blueprint.route("/logs/stream")
@admits_ticket
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.arguments(StreamQuery, location="query")
@blueprint.response(200, EVENT, content_type="text/event-stream")
@blueprint.alt_response(410, response="GONE")
def stream_log(query: dict[str, Any]) -> flask.Response:
    """Follow a log: server-sent events, each an array of records as the lists show them.

    Go on from an event by its id, as Last-Event-ID or `after`; without, it starts at the oldest hot
    record, or by `since`. A process that does not hold streams answers with what is there and ends.
    Asked to be a WebSocket, it tells the same events as JSON objects of event, id and data.
    """
    query.pop("ticket", None)
    filters = LOGS[query["log"]][1](query)
    refuse_search(filters)
    if is_cooperative():
        wait_cooperatively()
        yield_to_others(current_service().settings.stream_nice)
    if query["log"] == "audits":
        current_service().readings.note("audit_logs", "stream")
    stream = Stream(
        service=current_service(),
        tails=flask.current_app.extensions[TAILS],
        door=flask.current_app.extensions[DOOR],
        tenant_id=current_tenant(),
        digest=key_digest(),
        with_payloads=has_scope(Scope.LOGS_READ_PAYLOADS),
        log=query["log"],
        filters=filters,
        held=is_cooperative(),
    )
    pages = stream.pages(flask.request.headers.get("Last-Event-ID") or query.get("after"))
    first = next(pages)  # here, so that what is wrong with the cursor is an answer of its own
    if wants_websocket():
        return Upgrade(chain([first], pages))
    start = [f"retry: {RETRY_MS}\n\n".encode(), first.sse]
    told = (event.sse for event in pages)
    response = flask.Response(chain(start, told), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    return response


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One reader's stream, which outlives its request.

    Args:
        held: whether it goes on; else it ends where there is nothing more for now.
    """

    service: Service
    tails: SharedTails
    door: Door
    tenant_id: UUID
    digest: bytes
    with_payloads: bool
    log: str
    filters: Any
    held: bool

    def pages(self, after: str | None) -> Iterator[Event]:
        """Event upon event.

        Raises:
            CursorTooOld: it goes on, but not from there; of one that is held an event says so.
            StoreUnavailable: the database is away; one that is held waits for it.
        """
        if not self.held:
            yield from self._all_there_is(after)
            return
        what = (self.log, self.filters, self.with_payloads)
        with self.tails.followed(self.tenant_id, what, self._read) as tail:
            yield from self._followed(tail, after)

    def _all_there_is(self, after: str | None) -> Iterator[Event]:
        at_end = False
        while not at_end:
            event, at_end = self._read(after)
            after = event.cursor
            yield event

    def _followed(self, tail: SharedTail, after: str | None) -> Iterator[Event]:
        place, checked = tail.place(after), time.monotonic()
        while True:
            if time.monotonic() - checked >= BEAT_S:
                if not _still_opens(self.door, self.digest):
                    yield ENDED
                    return
                checked = time.monotonic()
            mark = self.tails.news.mark(self.tenant_id)
            try:
                event, at_end = place.look(mark)
            except CursorTooOld as error:
                yield Event("gone", error.resume, orjson.dumps({"detail": error.detail}))
                return
            except (StoreUnavailable, QueryTimeout):
                yield Event("the database is away")
                time.sleep(AWAY_S)
                continue
            yield event
            place = tail.place(event.cursor)
            if at_end and not (yield from self._await(tail, place, mark)):
                yield ENDED
                return

    def _await(self, tail: SharedTail, place: Place, mark: int) -> Generator[Event, None, bool]:
        """Signs of life until something comes, or it is time to look; False if the key ended."""
        for _ in range(round(LOOK_S / BEAT_S)):
            if tail.wait(place, mark, BEAT_S):
                return True
            if not _still_opens(self.door, self.digest):
                return False
            yield ALIVE
        return True

    def _read(self, after: str | None) -> tuple[Event, bool]:
        log_type, _, schema = LOGS[self.log]
        with self.service.reads.tenant(self.tenant_id) as session:
            scope = f"{self.log} {self.tenant_id} commit"
            found = log_type(session, self.tenant_id)
            rows, cursor, at_end = tail_of(found, self.filters, scope, after, ROWS_MAX)
        if not rows:  # the place is told, and nothing is handed over
            return Event("none", cursor, b"[]"), at_end
        shown = schema.dump(rows if self.with_payloads else all_withheld(rows))
        return Event("records", cursor, orjson.dumps(shown)), at_end


def _still_opens(door: Door, digest: bytes) -> bool:
    """Whether the key is still good, as the database said within the last seconds."""
    try:
        door.authenticator.recheck(digest, BEAT_S)
    except Unauthenticated:
        return False
    except (StoreUnavailable, QueryTimeout):
        return True  # it was good, and nothing is read meanwhile
    return True

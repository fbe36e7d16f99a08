"""A destination's turn: what waits for it is delivered, and each step is noted with its result.

A cursor moves in the transaction that notes what was taken, under the destination's lease: who dies
in between leaves records to be sent once more, and none out.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from ..config import Settings
from ..domain.concealing import conceal_row
from ..domain.filters import Page
from ..domain.forwarding import (
    Cursor,
    DestinationState,
    Letter,
    Outgoing,
    Replay,
    due_after,
    outgoing,
    pause_s,
    rows_at_once,
    test_row,
)
from ..domain.identity import created_at_of
from ..domain.policy import NO_POLICY, WITHHOLD, Policy, read_rules, tenant_hash_key
from ..domain.records import Kind
from ..errors import InvalidInput, SinkError
from ..sinks import SINKS, Sink
from ..store import forward_progress as progress
from ..store.cold import ColdStore
from ..store.everything import LOGS, read_one, read_page
from ..store.forwarding import Claimed, note_failure, note_progress, note_test
from ..store.policies import find_policy
from ..store.session import Database
from ..store.tail import RowsGone, Stretch
from ..telemetry import FORWARD_FAILURES, FORWARD_SECONDS, FORWARDED, get_logger
from .delivery import Delivery

PAGE_ROWS = 1000  # in memory at a time; most are of 1 KB, none is larger than 256
LETTERS_AT_ONCE = 100
KEPT_SHARE = 0.2  # of a lease; whoever delivers for longer renews it
BEFORE_GAP = timedelta(days=1)  # what is replayed of before a gap: records come late, too

log = get_logger(__name__)


class _Stopped(Exception):
    """A delivery ended before all was sent; so many records are to be sent once more."""

    def __init__(self, error: SinkError, again: int) -> None:
        super().__init__(error.detail)
        self.error = error
        self.again = again


class Turn:
    """One turn of one destination."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        cold: ColdStore,
        held: Claimed,
        sink: Sink,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._settings = settings
        self._cold = cold
        self._held = held
        self._to = held.destination
        self._sink = sink
        self._clock = clock
        self._ends = time.monotonic() + settings.forward_turn_s
        self._kept = time.monotonic()
        self._failures = held.destination.failures
        self._policies: dict[UUID, Policy] = {}

    def run(self) -> None:
        """Deliver what waits, until nothing does or the time is up.

        Raises:
            LeaseLost: another delivers by now; what was noted before counts.
            StoreUnavailable: Postgres is away; what was not noted is sent once more.
        """
        if self._to.test_asked_at is not None:
            self._test()
        if self._to.state is DestinationState.PAUSED or self._to.due_at > self._clock():
            return
        try:
            self._retry_letters()
            self._follow_tails()
            self._replay()
        except _Stopped as stopped:
            self._note_failure(stopped)
        else:
            pause = SINKS[self._to.sink].pause_s
            if pause and not self._time_is_up:
                self._note(due_at=due_after(self._clock(), pause))

    @property
    def _time_is_up(self) -> bool:
        return time.monotonic() > self._ends

    @property
    def _rows_max(self) -> int:
        """How many records are sent at once: few, as long as it is not known that they arrive."""
        usual = min(self._sink.rows_max, PAGE_ROWS)
        if SINKS[self._to.sink].drops_repeats:
            return usual  # and may know a repeat only by the same page
        doubt = self._to.unsure_at
        calm_s = None if doubt is None else (self._clock() - doubt).total_seconds()
        return rows_at_once(usual, self._failures, calm_s)

    def _test(self) -> None:
        record_id = uuid7()
        row = test_row(self._to, record_id, created_at_of(record_id))
        delivery = self._deliver([row], Kind.AUDIT)
        refused = next(iter(delivery.refused.values()), "")
        words = delivery.error.detail if delivery.error else refused or "taken"
        with self._database.unrestricted_unsafe() as session:
            taken = bool(delivery.accepted)
            note_test(session, self._held, now=self._clock(), taken=taken, words=words)

    def _follow_tails(self) -> None:
        with self._database.unrestricted_unsafe() as session:
            waiting = progress.waiting_cursors(session, self._to)
        while waiting and not self._time_is_up:
            waiting = [moved for cursor in waiting if (moved := self._follow(cursor)) is not None]

    def _follow(self, cursor: Cursor) -> Cursor | None:
        """Deliver the next page of one log; the cursor behind it, or None at its end."""
        if self._time_is_up:
            return None
        try:
            stretch = self._read(cursor)
        except RowsGone as gone:
            return self._pass_gap(cursor, gone)
        rows = [row for row in stretch.rows if row["id"] not in cursor.taken]
        delivery = self._deliver(rows, cursor.kind, cursor.source_id)
        done = delivery.accepted | delivery.refused.keys()
        with self._database.unrestricted_unsafe() as session:
            self._note_in(session, delivery, rows, cursor.kind, cursor.source_id)
            if delivery.error is None:
                progress.move_cursor(session, self._to, cursor, stretch.position)
            elif done:
                taken = cursor.taken | done
                progress.move_cursor(session, self._to, cursor, cursor.position, taken)
        if delivery.error is not None:
            raise _Stopped(delivery.error, len(rows) - len(done))
        if stretch.at_end:
            return None
        return replace(cursor, position=stretch.position, taken=frozenset())

    def _read(self, cursor: Cursor) -> Stretch:
        filters = self._to.filter_of(cursor.kind)
        # What is taken already is read once more, and must not fill the page.
        limit = self._rows_max + len(cursor.taken)
        with self._database.unrestricted_unsafe() as session:
            tail = LOGS[cursor.kind](session, cursor.source_id)
            found: Stretch = tail.tail_in_full(filters, cursor.position, limit)
            return found

    def _pass_gap(self, cursor: Cursor, gone: RowsGone) -> Cursor:
        """Go on where rows are again, and have what lies before sent from the archive."""
        batch_id = cursor.position.batch_id
        since = None if batch_id is None else created_at_of(batch_id) - BEFORE_GAP
        now = self._clock()
        with self._database.unrestricted_unsafe() as session:
            self._renew(session)
            progress.add_replay(session, self._to, since, now, cursor.source_id)
            progress.move_cursor(session, self._to, cursor, gone.resume)
        log.warning(
            "records were archived before they were forwarded, and are replayed",
            destination=str(self._to.id),
            source=str(cursor.source_id),
            kind=cursor.kind.value,
        )
        return replace(cursor, position=gone.resume, taken=frozenset())

    def _retry_letters(self) -> None:
        after: UUID | None = None
        while not self._time_is_up:
            with self._database.unrestricted_unsafe() as session:
                letters = progress.list_letters(
                    *(session, self._to.tenant_id, self._to.id, LETTERS_AT_ONCE),
                    after=after,
                    to_retry=True,
                )
            if not letters:
                return
            for letter in letters:
                self._retry(letter)
            after = letters[-1].id

    def _retry(self, letter: Letter) -> None:
        row = read_one(
            *(self._database, letter.source_id, letter.kind, letter.record_id, self._cold)
        )
        delivery = self._deliver([] if row is None else [row], letter.kind, letter.source_id)
        if delivery.error is not None:
            raise _Stopped(delivery.error, 1)
        with self._database.unrestricted_unsafe() as session:
            rows = [] if row is None else [row]
            self._note_in(session, delivery, rows, letter.kind, letter.source_id)
            if not delivery.refused:  # sent, or purged since and so none of anybody's business
                progress.drop_letters(session, self._to.tenant_id, self._to.id, [letter.id])

    def _replay(self) -> None:
        """Send pages of the oldest replay: one in any case, more while there is time."""
        first = True
        while first or not self._time_is_up:
            first = False
            with self._database.unrestricted_unsafe() as session:
                replay = progress.next_replay(session, self._to)
                if replay is None:
                    return
                start = replay.source_id or UUID(int=0)
                sources = progress.sources_from(session, self._to, start)
            self._send_again(replay, sources)

    def _send_again(self, replay: Replay, sources: Sequence[UUID]) -> None:
        kinds = self._to.kinds
        if not sources or (replay.single and sources[0] != replay.source_id):
            with self._database.unrestricted_unsafe() as session:
                self._renew(session)
                progress.end_replay(session, self._to, replay)
            return
        source, kind = sources[0], replay.kind or kinds[0]
        filters = replace(self._to.filter_of(kind), since=replay.since, until=replay.until)
        page = Page(self._rows_max, after=replay.after_id)
        rows = read_page(self._database, source, kind, filters, self._cold, page)
        delivery = self._deliver(rows, kind, source)
        if delivery.error is not None:
            raise _Stopped(delivery.error, len(rows))
        place: Mapping[str, Any] | None = {
            "source_id": source,
            "kind": kind.value,
            "after_id": rows[-1]["id"] if rows else None,
        }
        if len(rows) < page.limit:
            place = _next_place(replay, source, kind, kinds, sources)
        with self._database.unrestricted_unsafe() as session:
            self._note_in(session, delivery, rows, kind, source)
            sent = {"sent": replay.sent + len(delivery.accepted)}
            progress.move_replay(session, self._to, replay, {**(place or {}), **sent})
            if place is None:
                progress.end_replay(session, self._to, replay)

    def _deliver(
        self, rows: Sequence[Mapping[str, Any]], kind: Kind, source_id: UUID | None = None
    ) -> Delivery:
        """Send records, as the tenant's policy of today lets them be shown."""
        delivery = Delivery(self._sink, self._keep, self._rows_max)
        records: list[Outgoing] = []
        policy = NO_POLICY if source_id is None else self._policy_of(source_id)
        for row in rows:
            try:
                records.append(outgoing(conceal_row(row, policy), kind, self._to))
            except Exception as error:  # one record must not hold up the others for good
                log.exception("record not mapped", record=str(row["id"]))
                delivery.refused[row["id"]] = f"It cannot be told as {self._to.format}: {error!r}"
        if records:
            with FORWARD_SECONDS.labels(self._to.sink).time():
                delivery.send(records)
        return delivery

    def _policy_of(self, tenant_id: UUID) -> Policy:
        known = self._policies.get(tenant_id)
        if known is None:
            with self._database.unrestricted_unsafe() as session:
                rules = find_policy(session, tenant_id)
            known = self._policies[tenant_id] = self._read_policy(tenant_id, rules)
        return known

    def _read_policy(self, tenant_id: UUID, rules: Any) -> Policy:
        if not rules:
            return NO_POLICY
        try:
            return Policy(
                read_rules(rules), tenant_hash_key(self._settings.redaction_key, tenant_id)
            )
        except InvalidInput:  # written past the commands
            log.exception("policy not understood, values withheld", tenant=str(tenant_id))
            return WITHHOLD

    def _note_in(
        self,
        session: Any,
        delivery: Delivery,
        rows: Sequence[Mapping[str, Any]],
        kind: Kind,
        source_id: UUID,
    ) -> None:
        """Note what was taken and refused of a delivery, in the transaction that moves on."""
        sent, dead = len(delivery.accepted), len(delivery.refused)
        self._renew(session, sent=sent, dead=dead)
        told = [
            (source_id, kind, row["id"], delivery.refused[row["id"]])
            for row in rows
            if row["id"] in delivery.refused
        ]
        progress.bury(session, self._to, told)
        FORWARDED.labels(self._to.sink, "sent").inc(sent)
        FORWARDED.labels(self._to.sink, "dead").inc(dead)
        if sent:
            self._failures = 0

    def _note_failure(self, stopped: "_Stopped") -> None:
        error = stopped.error
        self._failures += 1
        seconds = pause_s(
            *(self._failures, random.random(), error.retry_after_s),  # noqa: S311  # nosec B311
            denied=error.denied,
        )
        now = self._clock()
        with self._database.unrestricted_unsafe() as session:
            note_failure(
                *(session, self._held, error.detail),
                now=now,
                due_at=due_after(now, seconds),
                again=stopped.again,
                unsure=error.unsure,
            )
        FORWARDED.labels(self._to.sink, "again").inc(stopped.again)
        reason = "denied" if error.denied else "away"
        FORWARD_FAILURES.labels(self._to.sink, reason).inc()
        log.warning(
            "destination did not take records",
            destination=str(self._to.id),
            sink=self._to.sink,
            failures=self._failures,
            pause_s=round(seconds, 1),
            error=error.detail,
        )

    def _keep(self) -> None:
        """Have the lease outlast the next part."""
        if time.monotonic() - self._kept > self._settings.forward_lease_s * KEPT_SHARE:
            self._note()

    def _note(self, *, due_at: datetime | None = None) -> None:
        with self._database.unrestricted_unsafe() as session:
            self._renew(session, due_at=due_at)

    def _renew(
        self, session: Any, *, sent: int = 0, dead: int = 0, due_at: datetime | None = None
    ) -> None:
        now = self._clock()
        until = now + timedelta(seconds=self._settings.forward_lease_s)
        counts = {"sent": sent, "dead": dead}
        note_progress(session, self._held, now=now, leased_until=until, due_at=due_at, **counts)
        self._kept = time.monotonic()


def _next_place(
    replay: Replay, source: UUID, kind: Kind, kinds: Sequence[Kind], sources: Sequence[UUID]
) -> dict[str, Any] | None:
    """Where a replay goes on behind the last record of a log; None if nowhere."""
    place = kinds.index(kind) + 1 if kind in kinds else len(kinds)
    if place < len(kinds):
        return {"source_id": source, "kind": kinds[place].value, "after_id": None}
    if replay.single or len(sources) < 2:
        return None
    return {"source_id": sources[1], "kind": None, "after_id": None}

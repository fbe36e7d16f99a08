"""Erasing a person: what names them is replaced by a mark wherever records are kept, hot, archived,
late or dead; the fact of each event stays. What a legal hold covers is passed over, and counted.

Every step goes by what is there, so a run that died is simply done again, to the same result. While
one is at work nothing is archived, purged or exported.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ..domain.archive import Segment
from ..domain.codec import COLUMNS, LETTERS, NULL, escape, unescape
from ..domain.erasure import ERASED, Erasure, Subject, erase
from ..domain.grains import from_ms
from ..domain.holds import PERSONAL, Hold, is_held
from ..domain.identity import EPOCH, MILLISECOND
from ..domain.records import Kind
from ..errors import Conflict
from ..store import erase as store
from ..store.archives import list_cold, sole_runner
from ..store.cold import ColdStore
from ..store.erase import Candidate, UserMove
from ..store.holds import holds_in_force
from ..store.objects import Objects
from ..store.purge import FOR_ERASURE, replace_segment
from ..store.recount import claim
from ..store.session import Database
from ..store.task_runs import may_run
from ..telemetry import ERASED_RECORDS, get_logger
from ..worker import EXPORT_TASK
from .restoring import let_go
from .rewriting import Row, delete_left, read_segment, rewrite

log = get_logger(__name__)

PAGE_ROWS = 200  # candidates in one transaction, each of up to 256 KiB
COLD_S_MAX = 300.0
FIRST = (EPOCH, UUID(int=0))
AT_WORK = "Somebody is at work on the archive, or an export is being made; try again later"


@dataclass(slots=True)
class ErasureReport:
    """How many records named the person, by where; of these, how many were changed and how many a
    legal hold kept.

    Attributes:
        unsearched: what was not looked through, or has to be looked at by a person, and why.
    """

    found: Counter[str] = field(default_factory=Counter)
    erased: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    unsearched: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As it is kept; it names nobody."""
        counts = {name: dict(sorted((+getattr(self, name)).items())) for name in _COUNTS}
        return {**counts, "unsearched": self.unsearched}


_COUNTS = ("found", "erased", "held")


class Eraser:
    """Finds a person in one tenant's records, and erases them.

    Args:
        database: of the maintenance role.
    """

    def __init__(
        self, database: Database, objects: Objects, tenant_id: UUID, subject: Subject
    ) -> None:
        self._database = database
        self._objects = objects
        self._tenant_id = tenant_id
        self._subject = subject
        self._cold = ColdStore(objects, timeout_s=COLD_S_MAX)

    def preview(self) -> ErasureReport:
        """What erasing would find and what it would pass over; nothing is changed.

        Raises:
            StoreUnavailable: Postgres cannot be reached.
            ArchiveDamaged, ArchiveUnavailable: a segment cannot be read.
        """
        return self._go_through(None)

    def run(self, erasure: Erasure) -> ErasureReport:
        """Erase; safe to die in at any moment, and to do again.

        Raises:
            Conflict: somebody is at work on the archive, or makes an export.
            StoreUnavailable: Postgres cannot be reached.
            ArchiveDamaged, ArchiveUnavailable: a segment cannot be read; what was erased stays so.
            OSError: the archive did not take an object.
        """
        with sole_runner(self._database) as alone, self._no_exports() as quiet:
            if not (alone and quiet):
                raise Conflict(AT_WORK)
            for left in self._objects.scratch.iterdir():
                left.unlink()
            delete_left(self._database, self._objects)
            if erasure is not None:
                let_go(self._database, self._objects, self._tenant_id)
            report = self._go_through(erasure)
            self._forget_copies()
        for where, records in report.erased.items():
            ERASED_RECORDS.labels(where).inc(records)
        return report

    def _go_through(self, erasure: Erasure | None) -> ErasureReport:
        report = ErasureReport()
        for kind in Kind:
            self._rows(kind, erasure, report)
            self._late(kind, erasure, report)
        # After the rows: what was archived since they were read is looked at here.
        for kind in Kind:
            self._segments(kind, erasure, report)
        self._letters(erasure, report)
        return report

    @contextmanager
    def _no_exports(self) -> Iterator[bool]:
        """Whether no export is being made; if so, none is begun until the end."""
        with self._database.unrestricted_unsafe() as session:
            yield may_run(session, EXPORT_TASK, not_within_s=0)

    def _rows(self, kind: Kind, erasure: Erasure | None, report: ErasureReport) -> None:
        where, after = f"hot {kind.value}s", FIRST
        while True:
            with self._database.unrestricted_unsafe() as session:
                if erasure is not None:
                    claim(session, self._tenant_id)
                holds = holds_in_force(session, self._tenant_id)
                page = store.list_candidates(
                    session, self._tenant_id, kind, self._subject.needle, after, PAGE_ROWS
                )
                changes = [(row, new) for row in page if (new := self._erase(kind, row.values))]
                held = [row for row, _ in changes if is_held(holds, kind, _held_values(row))]
                report.found[where] += len(changes)
                report.held[where] += len(held)
                if erasure is not None and changes:
                    done = store.erase_rows(session, self._tenant_id, kind, erasure.id, changes)
                    moves = [
                        _move(row) for row, new in changes if row.id in done and "user_id" in new
                    ]
                    store.move_users(session, self._tenant_id, moves)
                    report.erased[where] += len(done)
            if len(page) < PAGE_ROWS:
                return
            after = page[-1].created_at, page[-1].id

    def _segments(self, kind: Kind, erasure: Erasure | None, report: ErasureReport) -> None:
        with self._database.unrestricted_unsafe() as session:
            holds = holds_in_force(session, self._tenant_id)
            segments = list_cold(session, self._tenant_id, kind, None, None)
        for segment in segments:
            if self._may_name(segment):
                self._segment(segment, holds, erasure, report)

    def _may_name(self, segment: Segment) -> bool:
        """Whether the needle is anywhere in a segment."""
        names = PERSONAL[segment.of.kind]
        named = " OR ".join(f"contains(lower({name}), $needle)" for name in names)
        statement = f"SELECT count(*) FROM segments WHERE {named}"  # noqa: S608
        values = {"needle": self._subject.needle}
        ((count,),) = self._cold.read(self._tenant_id, [segment], statement, values)
        return bool(count)

    def _segment(
        self, segment: Segment, holds: list[Hold], erasure: Erasure | None, report: ErasureReport
    ) -> None:
        kind, where = segment.of.kind, f"archived {segment.of.kind.value}s"
        moves: list[UserMove] = []
        found = held = 0
        for row in read_segment(self._objects, segment):
            new = self._erase(kind, row)
            if new:
                found += 1
                if is_held(holds, kind, row):
                    held += 1
                elif "user_id" in new:
                    moves.append(_move_of(row))
        report.found[where] += found
        report.held[where] += held
        if erasure is None or found == held:
            return
        now = (datetime.now(UTC) - EPOCH) // MILLISECOND * 1000

        def change(row: Row) -> Row:
            new = {} if is_held(holds, kind, row) else self._erase(kind, row)
            return {**row, **new, "updated_at": now} if new else row

        successor = rewrite(self._database, self._objects, segment, change)
        with self._database.unrestricted_unsafe() as session:
            claim(session, self._tenant_id)
            if holds_in_force(session, self._tenant_id) != holds:
                raise Conflict("A legal hold was placed or released meanwhile; erase again")
            replace_segment(session, segment, FOR_ERASURE, successor)
            store.move_users(session, self._tenant_id, moves)
        delete_left(self._database, self._objects)
        report.erased[where] += found - held

    def _late(self, kind: Kind, erasure: Erasure | None, report: ErasureReport) -> None:
        where = f"late {kind.value}s"
        with self._database.unrestricted_unsafe() as session:
            holds = holds_in_force(session, self._tenant_id)
            for id_, line in store.late_lines(session, self._tenant_id, kind, self._subject.needle):
                values = _cells(kind, line.decode())
                new = self._erase(kind, values)
                if not new:
                    continue
                report.found[where] += 1
                if is_held(holds, kind, values):
                    report.held[where] += 1
                elif erasure is not None:
                    changed = _line(kind, line.decode(), new)
                    store.change_late(session, self._tenant_id, kind, id_, changed)
                    report.erased[where] += 1

    def _letters(self, erasure: Erasure | None, report: ErasureReport) -> None:
        where = "dead letters"
        with self._database.unrestricted_unsafe() as session:
            holds = holds_in_force(session, self._tenant_id)
            for letter_id, payload, reason in store.named_letters(
                session, self._tenant_id, self._subject.needle
            ):
                new, values = self._letter(payload)
                why = ERASED if self._subject.is_in(reason) else reason
                if (new, why) == (payload, reason):
                    continue
                report.found[where] += 1
                if any(is_held(holds, kind, values) for kind in Kind):
                    report.held[where] += 1
                elif erasure is not None:
                    store.change_letter(session, letter_id, new, why)
                    report.erased[where] += 1
            strays = [
                letter_id
                for letter_id, payload, reason in store.named_letters(
                    session, None, self._subject.needle
                )
                if self._letter(payload)[0] != payload or self._subject.is_in(reason)
            ]
        if strays:
            shown = ", ".join(map(str, strays[:20]))
            report.unsearched.append(
                f"{len(strays)} dead letters of no known tenant name the person: {shown};"
                " see flask dead-letters show"
            )

    def _letter(self, payload: bytes) -> tuple[bytes, Mapping[str, str | None]]:
        """A dead letter's bytes without the person, and what they say; all of them go if they are
        no record's.
        """
        said = payload.decode("utf-8", "replace")
        for kind, letter in LETTERS.items():
            cells = said.split("\t")
            if cells[0] == letter and len(cells) == len(COLUMNS[kind]) + 1:
                values = _cells(kind, said)
                try:
                    new = self._erase(kind, values)
                except ValueError:  # what should be JSON is none
                    break
                changed = _line(kind, said, new) if new else payload
                if not self._subject.is_in(changed.decode("utf-8", "replace")):
                    return changed, values
                break
        named = self._subject.is_in(said) or self._subject.is_in(said.replace("\\", ""))
        return (ERASED.encode() if named else payload), dict.fromkeys(
            ("error_message", "user_agent"), said
        )

    def _forget_copies(self) -> None:
        """Remove what else there is of the tenant's records: objects of weeks that are still hot,
        which are exported again, and what runs that died left behind.
        """
        with self._database.unrestricted_unsafe() as session:
            store.forget_verified(session, self._tenant_id)
        with self._database.unrestricted_unsafe() as session:
            known = store.known_objects(session, self._tenant_id)
        for key in self._objects.list(f"tenant_id={self._tenant_id}/"):
            if key not in known:
                self._objects.delete(key)

    def _erase(self, kind: Kind, values: Mapping[str, Any]) -> dict[str, str]:
        return erase(kind, values, self._subject)


def _held_values(row: Candidate) -> Mapping[str, str | None]:
    return {**row.values, "resource_type": row.resource_type}


def _move(row: Candidate) -> UserMove:
    return UserMove(
        created_at=row.created_at,
        user_id=str(row.values["user_id"]),
        action=str(row.action),
        resource_type=str(row.resource_type),
        batch_id=row.batch_id,
    )


def _move_of(row: Row) -> UserMove:
    return UserMove(
        created_at=from_ms(row["created_at"] // 1000),
        user_id=row["user_id"],
        action=row["action"],
        resource_type=row["resource_type"],
        batch_id=UUID(row["batch_id"]),
    )


def _cells(kind: Kind, line: str) -> dict[str, str | None]:
    """What a line says, by the names of its columns."""
    cells = line.split("\t")[1:]
    return {
        name: None if cell == NULL else unescape(cell)
        for name, cell in zip(COLUMNS[kind], cells, strict=True)
    }


def _line(kind: Kind, line: str, new: Mapping[str, str]) -> bytes:
    """A line with other values in some of its cells."""
    letter, *cells = line.split("\t")
    changed = (
        escape(new[name]) if name in new else cell
        for name, cell in zip(COLUMNS[kind], cells, strict=True)
    )
    return "\t".join((letter, *changed)).encode()

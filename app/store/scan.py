"""Newest-first lists whose cost is bounded, whatever the filter and whatever the planner believes.

Left alone, a planner that takes a value for frequent reads a log in order until the page is full,
which for a rare one is all of it; one that takes it for rare fetches and sorts all there is of it.
So the order of the steps is ours, and each step has one sensible plan: a glance at the newest rows
finds what is frequent; the rest is looked for week by week, or in windows known to hold it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from ..domain.filters import Page
from ..domain.identity import EPOCH, MILLISECOND, created_at_of
from ..domain.records import Kind
from .columns import TABLES
from .partitions import WEEK, first_week, week_of
from .rollup_map import Window

# If every twentieth row matches, a page of 100 is among so many; reading them takes about 1 ms.
GLANCE_ROWS = 2000
# Where a glance found some, a longer look at so many costs less than an index, or than a map.
INDEX_LOOK_ROWS = 5_000
MAP_LOOK_ROWS = 16_000
LOOK_MARGIN = 1.25  # as matches lie unevenly
WIDE_ROWS = 1000  # a window of more rows is read from its end on, until the page is full
# Planning takes about 0.07 ms for each partition, and most pages are full after the first weeks.
WEEKS_AT_ONCE = (2, 12)
WINDOWS_AT_ONCE = 200  # each is a descent of the key, of some 0.01 ms

ORDER = "ORDER BY l.created_at DESC, l.id DESC"
# An expression, so that the planner cannot follow the key and pass all rows that do not match.
SORTED = "ORDER BY l.created_at + interval '0' DESC, l.id DESC"


class Week(NamedTuple):
    """A week; the newest has no end, as a clock may be behind."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list is asked for.

    Args:
        shown: the columns, as SQL over the log's alias l.
        conditions: what must hold of a row apart from tenant and time, as SQL over l.
        values: the values that the conditions name.
    """

    kind: Kind
    tenant_id: UUID
    shown: str
    conditions: Sequence[str]
    values: Mapping[str, Any]
    since: datetime | None
    until: datetime | None
    page: Page

    @property
    def end(self) -> datetime | None:
        """Only rows made before it are wanted; None if there is no such bound."""
        if self.page.after is None:
            return self.until
        last = created_at_of(self.page.after) + MILLISECOND
        return last if self.until is None else min(last, self.until)

    @property
    def enough(self) -> int:
        """How many matching rows fill the page and what it skips."""
        return self.page.skip + self.page.limit


class Scan:
    """The steps by which the rows of one page are found; each returns the shown columns.

    Args:
        now: the present time.
    """

    def __init__(self, session: Session, wanted: Wanted, now: datetime) -> None:
        self._session = session
        self._wanted = wanted
        self._now = now
        self._log = TABLES[wanted.kind]
        self._values = {"tenant_id": str(wanted.tenant_id), **wanted.values}
        self._bounds = " AND ".join(self._bounding())
        self._matching = " AND ".join([self._bounds, *wanted.conditions])

    def in_order(self) -> list[Any]:
        """Rows when there is nothing to match: by the key, a few partitions at once."""
        return self._collect(
            [f"{self._stretch(weeks[-1].start, weeks[0].end)} {ORDER}"] for weeks in self._weeks()
        )

    def by_index(self) -> list[Any]:
        """Rows that an index finds in each partition, not in order, and that are never many."""
        return self._collect(map(self._sorted_weeks, self._weeks()))

    def by_week(self) -> list[Any]:
        """Rows that an index finds in each partition, not in order, and that may be many."""
        return self._glance(INDEX_LOOK_ROWS) or self.by_index()

    def in_windows(
        self, windows: Callable[[], Iterable[Window]], share: float | None = None
    ) -> list[Any]:
        """Rows that lie in windows, which are apart from each other and come newest first.

        Args:
            share: how large a share of the rows is likely to match, if that can be told.
        """
        is_rare = share is not None and share * MAP_LOOK_ROWS < self._wanted.enough
        found = [] if is_rare else self._glance(MAP_LOOK_ROWS)
        return found or self._collect(self._by_windows(windows()))

    def _glance(self, rows_max: int) -> list[Any]:
        """The page, if the newest rows fill it or promise that some more will; else nothing."""
        page, enough = self._wanted.page, self._wanted.enough
        start = f"l.created_at >= {self._moment(week_of(self.top) - WEEK)}"
        for rows in (GLANCE_ROWS, rows_max):
            look = self._look(start, 0, rows)
            found = self._execute(f"{look} OFFSET {page.skip} LIMIT {page.limit}")
            if len(found) == page.limit:
                return found
            # The second look ends where the page is full, so it is worth its bound.
            if not found or rows * enough * LOOK_MARGIN > rows_max * (page.skip + len(found)):
                break
        return []

    def _look(self, condition: str, passed: int, rows: int | None) -> str:
        """What matches among so many rows (None: all) that come after some, as the key has them.

        The rows are counted before they are looked at: there is no other plan than to follow the
        key.
        """
        wanted = self._wanted
        return (
            f"SELECT {wanted.shown} FROM (SELECT * FROM {self._log} AS l"  # noqa: S608
            f" WHERE {self._bounds} AND {condition} {ORDER}"
            f" OFFSET {passed} LIMIT {'ALL' if rows is None else rows}) AS l"
            f" WHERE {' AND '.join(wanted.conditions)} {ORDER}"
        )

    def _collect(self, steps: Iterable[list[str]]) -> list[Any]:
        """Take steps, each older than the one before, until the page is full.

        Args:
            steps: the branches of each, which are run one after the other as far as is needed.
        """
        page, skip = self._wanted.page, self._wanted.page.skip
        rows: list[Any] = []
        for branches in steps:
            step = branches[0]
            if len(branches) > 1:
                each = (f"({branch} LIMIT {self._wanted.enough})" for branch in branches)
                step = " UNION ALL ".join(each)
            found = self._execute(f"{step} OFFSET {skip} LIMIT {page.limit - len(rows)}")
            rows += found
            if len(rows) == page.limit:
                break
            if skip:
                passed = f"SELECT count(*) FROM ({step} LIMIT {skip}) AS passed"  # noqa: S608
                skip = 0 if found else skip - self._execute(passed)[0][0]
        return rows

    def _weeks(self) -> Iterator[list[Week]]:
        """The weeks that may hold rows, newest first, some at once."""
        start, end = week_of(self.top), None
        bottom: datetime | None = None
        sizes, size = iter(WEEKS_AT_ONCE), 0
        while bottom is None or start >= bottom:
            size = next(sizes, size)
            some: list[Week] = []
            while len(some) < size and (bottom is None or start >= bottom):
                some.append(Week(start, end))
                start, end = start - WEEK, start
            yield some
            bottom = bottom or self._bottom()

    @property
    def top(self) -> datetime:
        """Where to begin: what is newer lies in the same week, or in none yet."""
        end = self._wanted.end
        return self._now if end is None else max(min(end, self._now), EPOCH)

    def _bottom(self) -> datetime:
        """The first week in which there can be rows."""
        first = first_week(self._session, self._log)
        if first is None:
            return datetime.max.replace(tzinfo=UTC)
        since = self._wanted.since
        return first if since is None else max(first, week_of(since))

    def _bounding(self) -> Iterator[str]:
        wanted = self._wanted
        yield "l.tenant_id = %(tenant_id)s::uuid"
        if wanted.since is not None:
            yield f"l.created_at >= {self._moment(wanted.since)}"
        if wanted.until is not None:
            yield f"l.created_at < {self._moment(wanted.until)}"
        if wanted.page.after is not None:
            last = self._moment(created_at_of(wanted.page.after))
            self._values["after"] = str(wanted.page.after)
            # The first is implied; it alone lets the planner leave out partitions.
            yield f"l.created_at <= {last}"
            yield f"(l.created_at, l.id) < ({last}, %(after)s::uuid)"

    def _stretch(self, start: datetime, end: datetime | None) -> str:
        """What matches from one time until another."""
        statement = (
            f"SELECT {self._wanted.shown} FROM {self._log} AS l"  # noqa: S608
            f" WHERE {self._matching} AND l.created_at >= {self._moment(start)}"
        )
        return statement if end is None else f"{statement} AND l.created_at < {self._moment(end)}"

    def _sorted_weeks(self, weeks: Sequence[Week]) -> list[str]:
        return [f"{self._stretch(week.start, week.end)} {SORTED}" for week in weeks]

    def _by_windows(self, windows: Iterable[Window]) -> Iterator[list[str]]:
        """The steps through windows: wide ones alone, narrow ones as many at once as should do."""
        some: list[Window] = []
        matching, enough = 0, self._wanted.enough
        for window in windows:
            if window.rows > WIDE_ROWS:
                if some:
                    yield [self._windowed(some)]
                    some, matching = [], 0
                yield from self._wide(window)
                continue
            some.append(window)
            matching += window.matching
            if matching >= enough or len(some) == WINDOWS_AT_ONCE:
                yield [self._windowed(some)]
                some, matching, enough = [], 0, enough * 4  # they held less than they might have
        if some:
            yield [self._windowed(some)]

    def _wide(self, window: Window) -> Iterator[list[str]]:
        """A window's rows from its end on, each time as many as were passed so far."""
        condition = (
            f"l.created_at >= {self._moment(window.first)}"
            f" AND l.created_at <= {self._moment(window.last)}"
        )
        expected = self._wanted.enough * LOOK_MARGIN * window.rows / max(window.matching, 1)
        passed, rows = 0, max(WIDE_ROWS, round(expected))
        while passed + rows < window.rows:
            yield [self._look(condition, passed, rows)]
            passed, rows = passed + rows, passed + rows
        yield [self._look(condition, passed, None)]

    def _windowed(self, windows: Sequence[Window]) -> str:
        """What matches in each window, by its range of the key: one window after the other.

        A window's rows are taken before they are looked at, for there is no other plan then, nor
        any other index to be considered for each partition.
        """
        wanted = self._wanted
        self._values["firsts"] = _as_array(window.first for window in windows)
        self._values["lasts"] = _as_array(window.last for window in windows)
        # The outermost bounds are there for the planner, to leave out partitions.
        return (
            f"SELECT each.* FROM unnest(%(firsts)s::timestamptz[], %(lasts)s::timestamptz[])"  # noqa: S608
            f" AS w (first, last) CROSS JOIN LATERAL (SELECT {wanted.shown}"
            f" FROM (SELECT * FROM {self._log} AS l WHERE {self._bounds}"
            f" AND l.created_at >= {self._moment(windows[-1].first)}"
            f" AND l.created_at <= {self._moment(windows[0].last)}"
            f" AND l.created_at >= w.first AND l.created_at <= w.last {ORDER} OFFSET 0) AS l"
            f" WHERE {' AND '.join(wanted.conditions)} {ORDER} LIMIT {wanted.enough}) AS each"
        )

    def _moment(self, moment: datetime) -> str:
        """A time in SQL; a parameter, which the planner sees as a constant."""
        name = f"moment_{len(self._values)}"
        self._values[name] = moment
        return f"%({name})s::timestamptz"

    def _execute(self, statement: str) -> list[Any]:
        found = self._session.connection().exec_driver_sql(statement, self._values)
        return list(found)


def _as_array(moments: Iterable[datetime]) -> str:
    """Times as Postgres reads an array; the driver takes longer over a list than the statement."""
    return f"{{{','.join(moment.isoformat() for moment in moments)}}}"

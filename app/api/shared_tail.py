"""One tail for many readers: what comes next at a place is read and encoded once, for all who stand
there, and one watcher looks for all who wait.

A place knows the one event behind it and no more: so a slow reader keeps one event alive, not all
that came since.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID
from weakref import WeakValueDictionary

from ..errors import CursorTooOld, QueryTimeout, StoreUnavailable
from ..pipeline.commits import News
from ..telemetry import get_logger
from .events import Event

LOOK_S = 10.0  # without news: one may have been lost
AWAY_S = 1.0  # between two tries while the database is away
WATCH_S = 2.0  # until a watcher sees that nobody is left

Read = Callable[[str | None], tuple[Event, bool]]

log = get_logger(__name__)


class Place:
    """A place in a tail, and what comes next there once somebody read it.

    Args:
        cursor: where it is; None for the beginning.
    """

    def __init__(self, cursor: str | None, read: Read) -> None:
        self.cursor = cursor
        self._read = read
        self._passed = threading.Event()
        self._lock = threading.Lock()
        self._known: tuple[Event, bool] | None = None
        self._mark = -1  # of the news before it was read
        self._read_at = float("-inf")
        self._away_until = float("-inf")

    def look(self, mark: int) -> tuple[Event, bool]:
        """The next event, and whether that is the end for now.

        Args:
            mark: of the news that the reader has heard; what was read before them may be old.

        Raises:
            CursorTooOld: the tail goes on, but not from here.
            StoreUnavailable, QueryTimeout: it cannot be read now.
        """
        known = self._current(mark)
        if known is None:
            with self._lock:
                known = self._current(mark) or self._look(mark)
        return known

    def wait(self, timeout_s: float) -> bool:
        """Wait until something comes next, or can no longer come; whether it does."""
        return self._passed.wait(timeout_s)

    def give_up(self) -> None:
        """Wake who waits, since nothing comes here any more; whoever looks is told why."""
        with self._lock:
            self._known = None
            self._passed.set()

    @property
    def is_passed(self) -> bool:
        """Whether what comes next is known."""
        return self._passed.is_set()

    def _current(self, mark: int) -> tuple[Event, bool] | None:
        """What is known, if it is still true: of a place that was passed, the event is for ever."""
        known = self._known
        if known is None:
            return None
        if self._passed.is_set():
            return known[0], known[1] and mark == self._mark
        fresh = mark == self._mark and time.monotonic() - self._read_at < LOOK_S
        return known if fresh else None

    def _look(self, mark: int) -> tuple[Event, bool]:
        if time.monotonic() < self._away_until:
            raise StoreUnavailable
        now = time.monotonic()
        try:
            known = self._read(self.cursor)
        except (StoreUnavailable, QueryTimeout):
            self._away_until = time.monotonic() + AWAY_S
            raise
        self._mark, self._read_at, self._known = mark, now, known
        if known[0].cursor != self.cursor:
            self._passed.set()
        else:
            self._passed.clear()
        return known


class SharedTail:
    """The tail of one log under one set of filters, and who follows it in this process.

    Args:
        read: the event behind a cursor, and whether that is the end for now.
    """

    def __init__(self, news: News, tenant_id: UUID, read: Read) -> None:
        self._news = news
        self._tenant_id = tenant_id
        self._read = read
        self._lock = threading.Lock()
        self._places: WeakValueDictionary[str | None, Place] = WeakValueDictionary()
        self._watcher: threading.Thread | None = None
        self.readers = 0

    def place(self, cursor: str | None) -> Place:
        """The place at a cursor, the same for all who stand there."""
        with self._lock:
            found = self._places.get(cursor)
            if found is None:
                found = self._places[cursor] = Place(cursor, self._read)
            if self._watcher is None:
                self._watcher = threading.Thread(
                    target=self._watch, name="opsledger-shared-tail", daemon=True
                )
                self._watcher.start()
            return found

    def wait(self, place: Place, mark: int, timeout_s: float) -> bool:
        """Wait at a place for what comes next; whether there may be something.

        Args:
            mark: of the news before the place was reached; after later ones it is not waited.
        """
        return self._news.mark(self._tenant_id) != mark or place.wait(timeout_s)

    def _watch(self) -> None:
        """Look at each news, as long as there are readers."""
        try:
            while self._is_followed():
                mark = self._news.mark(self._tenant_id)
                with self._lock:
                    places = [one for one in self._places.values() if not one.is_passed]
                if self._look(places, mark):
                    del places  # who holds a place keeps its event
                    self._news.wait(self._tenant_id, mark, WATCH_S)
                else:
                    time.sleep(AWAY_S)
        finally:
            with self._lock:
                if self._watcher is threading.current_thread():
                    self._watcher = None

    def _is_followed(self) -> bool:
        with self._lock:
            if not self.readers:
                self._watcher = None
            return self.readers > 0

    def _look(self, places: list[Place], mark: int) -> bool:
        """Look for all who stand at these places; False if the database is away."""
        for place in places:
            try:
                place.look(mark)
            except CursorTooOld:
                place.give_up()
            except (StoreUnavailable, QueryTimeout) as error:
                log.warning("readers of the stream wait for the database", error=repr(error))
                return False
        return True


class SharedTails:
    """The tails that are followed in this process."""

    def __init__(self, news: News) -> None:
        self.news = news
        self._lock = threading.Lock()
        self._tails: dict[tuple[object, ...], SharedTail] = {}

    @contextmanager
    def followed(
        self, tenant_id: UUID, what: tuple[object, ...], read: Read
    ) -> Iterator[SharedTail]:
        """A tail, the same for all who follow the same, for as long as somebody does.

        Args:
            what: all that decides what is read, besides the tenant.
        """
        key = (tenant_id, *what)
        with self._lock:
            tail = self._tails.setdefault(key, SharedTail(self.news, tenant_id, read))
            tail.readers += 1
        try:
            with self.news.reader(tenant_id):
                yield tail
        finally:
            with self._lock:
                tail.readers -= 1
                if not tail.readers:
                    del self._tails[key]

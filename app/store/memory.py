"""A bounded memory of a process, for any thread; what is in it has to be proven by who reads it."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Protocol


class Entry(Protocol):
    """Something that knows about how many bytes of memory it takes."""

    @property
    def size(self) -> int:
        """In bytes."""


class Memory:
    """Entries up to a bound in bytes; what was not asked for the longest goes first.

    Args:
        bytes_max: 0 to remember nothing.
    """

    def __init__(self, bytes_max: int = 0) -> None:
        self._bytes_max = bytes_max
        self._lock = Lock()
        self._entries: OrderedDict[Hashable, tuple[Entry, int]] = OrderedDict()
        self._bytes = 0

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def after_fork(self) -> None:
        """Begin anew in a child, in whose parent another thread may have held the lock."""
        self._lock = Lock()
        self.clear()

    @property
    def bytes(self) -> int:
        """About how many bytes are in use."""
        return self._bytes

    def get(self, key: Hashable) -> Entry | None:
        """What was put there, if it is still there."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, entry: Entry) -> None:
        """Remember an entry in place of what was there."""
        size = entry.size
        with self._lock:
            _, before = self._entries.pop(key, (None, 0))
            self._bytes += size - before
            self._entries[key] = (entry, size)
            while self._bytes > self._bytes_max:
                _, (_, gone) = self._entries.popitem(last=False)
                self._bytes -= gone

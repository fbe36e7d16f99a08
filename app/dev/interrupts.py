"""SIGINT, SIGTERM and SIGHUP as wishes that the main loop looks at. Invariant: a signal never
breaks off what is being done, so no process is started and then forgotten.
"""

import signal
import time
from types import FrameType

HURRY_AFTER_SECONDS = 0.5
"""A signal sooner than this after the first is that one again: make passes on what a terminal or
a process group has sent us already."""


class Stopped(Exception):
    """Someone asked us to stop."""


class Interrupts:
    """Whether we were asked to stop, and whether a second time."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self._again = False

    def listen(self) -> None:
        """Take over the three signals, for the rest of the process's life."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._receive)
        # Ignored by nohup: then a closed terminal is no wish to stop.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._receive)

    def _receive(self, _signum: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
        elif now - self._first_at >= HURRY_AFTER_SECONDS:
            self._again = True

    def requested(self) -> bool:
        """Tell whether we are to stop."""
        return self._first_at is not None

    def hurried(self) -> bool:
        """Tell whether we were asked again, after a moment."""
        return self._again

    def check(self) -> None:
        """Raise Stopped if we are to stop."""
        if self.requested():
            raise Stopped

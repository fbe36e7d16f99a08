"""Keeps a set of services alive: what dies is started again, after a pause that grows while it
keeps dying. Invariant: after stop() none of them runs, nor any of their children.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from . import process
from .errors import DevError
from .logs import LogFollower
from .screen import Screen

BACKOFF_SECONDS_MIN = 0.5
BACKOFF_SECONDS_MAX = 10.0
STABLE_SECONDS = 30.0
"""Who has lived so long starts over with the shortest pause."""


class Service(Protocol):
    """What can be kept alive: an embedded server, a process of the Procfile."""

    @property
    def name(self) -> str:
        """How people call it."""

    @property
    def log_path(self) -> Path:
        """Where its output goes."""

    def start(self) -> None:
        """Start it; may raise DevError."""

    def poll(self) -> int | None:
        """Return None while it runs, else its exit status."""

    def stop(self, hurried: Callable[[], bool]) -> None:
        """Stop it in good order, or at once when hurried."""


@dataclass(slots=True)
class _Kept:
    service: Service
    log: LogFollower
    started_at: float = field(default_factory=time.monotonic)
    pause: float = BACKOFF_SECONDS_MIN
    restart_at: float | None = None


class Supervisor:
    """Starts services, watches them, and stops them in the order given."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._kept: dict[str, _Kept] = {}

    def start(self, service: Service) -> None:
        """Start a service and keep it from now on."""
        # Kept before it starts: stop() must find it, however far the start got.
        kept = self._kept[service.name] = _Kept(service, LogFollower(service.log_path))
        service.start()
        kept.log.skip()

    def dead(self) -> list[Service]:
        """Return the services that do not run."""
        return [kept.service for kept in self._kept.values() if kept.service.poll() is not None]

    def tend(self) -> None:
        """Restart what has died and whose pause is over; show warnings from the logs."""
        for name, kept in self._kept.items():
            for line in kept.log.warnings():
                self._screen.note(name, line)
            status = kept.service.poll()
            if status is None:
                continue
            if kept.restart_at is None:
                # What it leaves, children or a lock, must not outlive it.
                kept.service.stop(process.never)
                self._plan_restart(kept, describe(status))
            elif time.monotonic() >= kept.restart_at:
                self._restart(kept)

    def stop(self, order: Iterable[str], hurried: Callable[[], bool] = process.never) -> None:
        """Stop the services named, one after the other, then any others, last started first."""
        names = [name for name in order if name in self._kept]
        names += [name for name in reversed(self._kept) if name not in names]
        for name in names:
            kept = self._kept.pop(name)
            if kept.service.poll() is None:
                self._screen.note(name, "stopping")
            kept.service.stop(hurried)

    def _plan_restart(self, kept: _Kept, reason: str) -> None:
        now = time.monotonic()
        if now - kept.started_at >= STABLE_SECONDS:
            kept.pause = BACKOFF_SECONDS_MIN
        kept.restart_at = now + kept.pause
        text = f"{reason}; starting again in {kept.pause:.1f} s (log: {kept.service.log_path})"
        self._screen.note(kept.service.name, text, bad=True)
        kept.pause = min(2 * kept.pause, BACKOFF_SECONDS_MAX)

    def _restart(self, kept: _Kept) -> None:
        kept.restart_at = None
        kept.started_at = time.monotonic()
        try:
            kept.service.start()
            kept.log.skip()
        except (DevError, OSError) as error:
            self._plan_restart(kept, str(error).splitlines()[0])


def describe(status: int) -> str:
    """Return an exit status in words."""
    return f"ended by signal {-status}" if status < 0 else f"ended with status {status}"

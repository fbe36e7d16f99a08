"""When which fault lasted, and so which of them a request met."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.support import percentile

from .faults import Fault
from .load import INGEST, Call

SETTLE_S = 1.0  # what follows a fault within this time is still its work
EXPECTED = frozenset({"web", "database"})  # areas whose faults may cost a caller an error
CALM = "none"


@dataclass(slots=True)
class _Window:
    fault: Fault
    began: float
    ended: float = float("inf")

    def overlaps(self, call: Call) -> bool:
        return call.started <= self.ended + SETTLE_S and call.ended >= self.began


class Windows:
    """The faults of a run, with their times."""

    def __init__(self) -> None:
        self._windows: list[_Window] = []

    @contextmanager
    def opened(self, faults: Iterable[Fault]) -> Iterator[None]:
        """Note that these faults last as long as the with-block."""
        windows = [_Window(fault, time.monotonic()) for fault in faults]
        self._windows += windows
        yield
        for window in windows:
            window.ended = time.monotonic()

    def report(self, calls: list[Call]) -> dict[str, object]:
        """How many requests were refused under which faults, and how long they took."""
        refused: Counter[str] = Counter()
        unexpected: list[str] = []
        away: list[str] = []
        broker_only = 0
        times: dict[str, list[float]] = {}
        for call in calls:
            met = [window.fault for window in self._windows if window.overlaps(call)]
            areas = {fault.area for fault in met}
            for area in areas or {CALM}:
                times.setdefault(area, []).append((call.ended - call.started) * 1000)
            if not call.error:
                continue
            refused.update({fault.name for fault in met} or {CALM})
            broker_only += areas == {"broker"}
            if call.path == INGEST and "database" in areas and "web" not in areas:
                away.append(f"{sorted(fault.name for fault in met)}: {call.error}")
            if not areas & EXPECTED:
                unexpected.append(f"{call.path} under {sorted(areas) or CALM}: {call.error}")
        return {
            "requests": len(calls),
            "refused": dict(sorted(refused.items())),
            "refused_while_broker_only": broker_only,
            "ingest_refused_while_database_away": len(away),
            "ingest_errors": away[:5],
            "errors_outside_database_or_web_faults": len(unexpected),
            "unexpected_errors": unexpected[:5],
            "p50_ms": {area: round(percentile(t, 0.5), 1) for area, t in sorted(times.items())},
            "p99_ms": {area: round(percentile(t, 0.99), 1) for area, t in sorted(times.items())},
        }

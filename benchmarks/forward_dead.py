"""What dead destinations cost one that is well, and ingest: with one and with nine that refuse
connections, against none.

Windows with and without them follow each other in turns, and the ratio is the median of rounds. In
each they are as if they had never failed, so that they are tried as often as they ever are.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from app.domain.forwarding import Destination, DestinationState

from .forward import Line, bulk_server, lines
from .support import median

DEAD = (0, 1, 9)
ROUNDS = 5
TURN_S = 5.0
WAIT_S = 60.0


def run(smoke: bool) -> dict[str, float]:
    """Ratios of seconds: with dead destinations to without."""
    rounds = 1 if smoke else ROUNDS
    with lines(forward_turn_s=TURN_S) as line, bulk_server() as bulk:
        url = f"http://127.0.0.1:{_closed_port()}/"
        dead = [line.add("webhook", {"url": url}, f"dead {number}") for number in range(max(DEAD))]
        beside = {count: [0.0] * rounds for count in DEAD}
        ingest = {count: [0.0] * rounds for count in DEAD}
        for place in range(rounds):
            for count in _in_turn(place):
                ingest[count][place] = _put(line, dead[:count], 1_000 if smoke else 40_000)
        # Its cursor begins behind all of that, which it would have to take as well.
        well = line.add("webhook", {"url": bulk, "compress": False})
        for place in range(rounds):
            for count in _in_turn(place):
                beside[count][place] = _drained(line, well, dead[:count], 500 if smoke else 12_000)
    figures = {}
    for count in DEAD[1:]:
        figures[f"forward.beside_{count}_dead_ratio"] = _ratio(beside[count], beside[0])
        figures[f"forward.ingest_beside_{count}_dead_ratio"] = _ratio(ingest[count], ingest[0])
    return figures


def _in_turn(place: int) -> Sequence[int]:
    """Each count, another first in each round: who comes first has a colder machine."""
    first = place % len(DEAD)
    return (*DEAD[first:], *DEAD[:first])


def _drained(line: Line, well: Destination, dead: Sequence[Destination], rows: int) -> float:
    """Seconds until the one that is well has new records."""
    line.commit(line.bodies(rows))
    with _active(line, [well, *dead]):
        forwarder = line.forwarder()
        begun = time.perf_counter()
        forwarder.start()
        while line.waits(well) and time.perf_counter() - begun < WAIT_S:
            time.sleep(0.01)
        seconds = time.perf_counter() - begun
        forwarder.stop()
    if line.waits(well):
        raise RuntimeError("the destination that is well did not take everything")
    return seconds


def _put(line: Line, dead: Sequence[Destination], rows: int) -> float:
    """Seconds of commits in the process that forwards."""
    bodies = line.bodies(rows)
    with _active(line, dead):
        forwarder = line.forwarder()
        forwarder.start()
        seconds = line.commit(bodies)
        forwarder.stop()
    return seconds


@contextmanager
def _active(line: Line, destinations: Sequence[Destination]) -> Iterator[None]:
    for one in destinations:
        line.switch(one, DestinationState.ACTIVE)
    yield
    for one in destinations:
        line.switch(one, DestinationState.PAUSED)


def _ratio(some: Sequence[float], none: Sequence[float]) -> float:
    return median([with_dead / without for with_dead, without in zip(some, none, strict=True)])


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
    return port

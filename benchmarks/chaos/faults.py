"""What goes wrong: each fault begins, holds for a while and ends; a seed decides their order."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from app.dev import process

from .stack import WEBS, WORKERS, Stack

FREEZE_S = 5.0
SLOW_S = 0.2
PAUSE_S = (0.5, 2.5)  # between two steps
COMPANION_SHARE = 0.25  # of the steps have a second fault at the same time
MID_BATCH_WAIT_S = 0.5  # at most, for a worker that holds a shipment

Do = Callable[[Stack, int], None]


def _nothing(stack: Stack, pick: int) -> None:
    """It ends by itself."""


def _web_back(stack: Stack, _: int) -> None:
    stack.wait_for_web()


@dataclass(frozen=True, slots=True)
class Fault:
    """A way for things to go wrong.

    Args:
        area: what it hits: web, worker, beat, broker or database.
        hold_s: for how long it lasts, least and most.
    """

    name: str
    area: str
    hold_s: tuple[float, float]
    begin: Do
    end: Do = _nothing


@dataclass(frozen=True, slots=True)
class Step:
    """One or two faults at a time; `pick` chooses among processes alike."""

    faults: tuple[Fault, ...]
    hold_s: float
    pause_s: float
    pick: int


def plan(seed: int, seconds: float, faults: Sequence[Fault]) -> Iterator[Step]:
    """The steps of a seed, as many as fit into so many seconds: every fault once, then again."""
    random = Random(seed)
    deck: list[Fault] = []
    while seconds > 0:
        if not deck:
            deck = list(faults)
            random.shuffle(deck)
        first = deck.pop()
        second = random.choice(faults)
        both = random.random() < COMPANION_SHARE and second.area != first.area
        chosen = (first, second) if both else (first,)
        hold_s = max(random.uniform(*fault.hold_s) for fault in chosen)
        pause_s = random.uniform(*PAUSE_S)
        seconds -= hold_s + pause_s
        yield Step(chosen, hold_s, pause_s, random.randrange(1_000))


def _signal_web_worker(stack: Stack, pick: int, signum: signal.Signals) -> None:
    workers = stack.web_workers(WEBS[pick % len(WEBS)])
    if workers:
        process.send(workers[pick // 2 % len(workers)], signum)


def _kill_master(stack: Stack, pick: int) -> None:
    stack.end(WEBS[pick % len(WEBS)], signal.SIGKILL)


def _kill_worker(stack: Stack, pick: int) -> None:
    """SIGKILL while a shipment is under way, if one is within the wait."""
    deadline = time.monotonic() + MID_BATCH_WAIT_S
    while not stack.broker.is_busy() and time.monotonic() < deadline:
        pass
    stack.end(WORKERS[pick % len(WORKERS)], signal.SIGKILL)


def _end_worker(stack: Stack, pick: int) -> None:
    """As a deployment does."""
    stack.end(WORKERS[pick % len(WORKERS)], signal.SIGTERM)


def _freeze_worker(stack: Stack, pick: int) -> None:
    _freeze(stack.pid(WORKERS[pick % len(WORKERS)]))


def _thaw_worker(stack: Stack, pick: int) -> None:
    _thaw(stack.pid(WORKERS[pick % len(WORKERS)]))


def _kill_beat(stack: Stack, _: int) -> None:
    stack.end("beat", signal.SIGKILL)


def _restart_broker(stack: Stack, _: int) -> None:
    stack.broker.stop()
    stack.broker.start()


def _flush_broker(stack: Stack, _: int) -> None:
    stack.broker.forget()


def _restart_database(stack: Stack, _: int) -> None:
    stack.postgres.stop()
    stack.postgres.start()


def _freeze(pid: int | None) -> None:
    for one in [pid, *process.descendants(pid)] if pid else []:
        process.send(one, signal.SIGSTOP)


def _thaw(pid: int | None) -> None:
    for one in [*process.descendants(pid), pid] if pid else []:
        process.send(one, signal.SIGCONT)


def thaw_all(stack: Stack) -> None:
    """Let everything run that may be frozen, so that it can be stopped in good order."""
    programs = [program.process for program in stack.programs.values()]
    pids = [started.pid for started in programs if started is not None]
    for pid in [stack.broker.pid, stack.postgres.pid, *pids]:
        _thaw(pid)


SHORT, AWAY, FROZEN, BAD_LINK = (0.5, 2.0), (1.0, 4.0), (FREEZE_S, FREEZE_S), (1.0, 4.0)

FAULTS = (
    Fault(
        "web-kill", "web", SHORT, lambda s, p: _signal_web_worker(s, p, signal.SIGKILL), _web_back
    ),
    Fault(
        "web-term", "web", SHORT, lambda s, p: _signal_web_worker(s, p, signal.SIGTERM), _web_back
    ),
    Fault("web-master-kill", "web", SHORT, _kill_master, _web_back),
    Fault("worker-kill", "worker", SHORT, _kill_worker),
    Fault("worker-term", "worker", SHORT, _end_worker),
    Fault("worker-freeze", "worker", FROZEN, _freeze_worker, _thaw_worker),
    Fault("beat-kill", "beat", SHORT, _kill_beat),
    Fault(
        "broker-kill", "broker", AWAY, lambda s, _: s.broker.kill(), lambda s, _: s.broker.start()
    ),
    Fault("broker-restart", "broker", SHORT, _restart_broker),
    Fault("broker-flush", "broker", SHORT, _flush_broker),
    Fault(
        "broker-freeze",
        "broker",
        FROZEN,
        lambda s, _: _freeze(s.broker.pid),
        lambda s, _: _thaw(s.broker.pid),
    ),
    Fault(
        "broker-cut",
        "broker",
        BAD_LINK,
        lambda s, _: s.broker_link.cut(),
        lambda s, _: s.broker_link.heal(),
    ),
    Fault(
        "broker-slow",
        "broker",
        BAD_LINK,
        lambda s, _: s.broker_link.slow(SLOW_S),
        lambda s, _: s.broker_link.heal(),
    ),
    Fault(
        "database-kill",
        "database",
        AWAY,
        lambda s, _: s.postgres.kill(),
        lambda s, _: s.postgres.start(),
    ),
    Fault("database-restart", "database", SHORT, _restart_database),
    Fault(
        "database-freeze",
        "database",
        FROZEN,
        lambda s, _: _freeze(s.postgres.pid),
        lambda s, _: _thaw(s.postgres.pid),
    ),
    Fault(
        "database-cut",
        "database",
        BAD_LINK,
        lambda s, _: s.database_link.cut(),
        lambda s, _: s.database_link.heal(),
    ),
    Fault(
        "database-slow",
        "database",
        BAD_LINK,
        lambda s, _: s.database_link.slow(SLOW_S),
        lambda s, _: s.database_link.heal(),
    ),
)


def chosen(names: Sequence[str]) -> tuple[Fault, ...]:
    """The faults of these names or areas; all of them if none is named.

    Raises:
        ValueError: there is no such fault.
    """
    for name in names:
        if name not in {f.name for f in FAULTS} | {f.area for f in FAULTS}:
            known = ", ".join(fault.name for fault in FAULTS)
            raise ValueError(f"no fault {name}; there are {known}, and their areas")
    return tuple(f for f in FAULTS if not names or f.name in names or f.area in names)

"""The supervisor with real processes: kept alive, stopped in order, none left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.dev import process, supervisor
from app.dev.errors import DevError
from app.dev.program import Program
from app.dev.screen import Screen
from app.dev.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
WAIT_SECONDS_MAX = 15.0
STUBBORN = "trap '' TERM; while :; do sleep 1; done"
PARENT = """
import os, sys, time
from pathlib import Path
from app.dev.program import Program
from app.dev.screen import Screen
from app.dev.supervisor import Supervisor
keeper = Supervisor(Screen())
for name in ("web", "worker"):
    log = Path(sys.argv[1]) / name
    keeper.start(Program(name, "sleep 600", env=os.environ, cwd=Path("/"), log_path=log))
print(*(kept.service.process.pid for kept in keeper._kept.values()), flush=True)
time.sleep(600)
"""


class Notes(Screen):
    """A screen that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def note(self, name: str, text: str, *, bad: bool = False) -> None:
        """Remember a line."""
        self.lines.append(f"{name} {text}")
        super().note(name, text, bad=bad)


@pytest.fixture
def notes() -> Notes:
    """What the supervisor said."""
    return Notes()


@pytest.fixture
def keeper(notes: Notes) -> Iterator[Supervisor]:
    """A supervisor that stops what a failed test leaves."""
    keeper = Supervisor(notes)
    yield keeper
    keeper.stop([], hurried=lambda: True)


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Program]:
    """Make a program that runs a shell script; each start appends its pid to NAME.pids."""

    def make(name: str, script: str, *, grace_seconds: float = 5.0) -> Program:
        path = tmp_path / f"{name}.sh"
        path.write_text(f"echo $$ >> {tmp_path}/{name}.pids\n{script}\n")
        return Program(
            name,
            f"sh {path}",
            env=os.environ,
            cwd=tmp_path,
            log_path=tmp_path / f"{name}.log",
            grace_seconds=grace_seconds,
        )

    return make


def pids(tmp_path: Path, name: str) -> list[int]:
    """Return the process ids of all lives of a program so far."""
    path = tmp_path / f"{name}.pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def tend_until(keeper: Supervisor, happened: Callable[[], bool]) -> None:
    """Tend until something happened, within a bound."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not happened():
        assert time.monotonic() < deadline
        keeper.tend()
        time.sleep(process.POLL_SECONDS)


def test_a_killed_process_is_started_again(
    tmp_path: Path, keeper: Supervisor, notes: Notes, program: Callable[..., Program]
) -> None:
    """One line says why and when."""
    keeper.start(program("web", "exec sleep 600"))
    tend_until(keeper, lambda: len(pids(tmp_path, "web")) == 1)
    os.kill(pids(tmp_path, "web")[0], signal.SIGKILL)
    tend_until(keeper, lambda: len(pids(tmp_path, "web")) == 2)
    (line,) = notes.lines
    assert line.startswith("web ended by signal 9; starting again in 0.5 s")
    assert not keeper.dead()


def test_the_pause_doubles_while_a_process_keeps_dying(
    keeper: Supervisor,
    notes: Notes,
    program: Callable[..., Program],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Up to a bound, so that a broken process costs little."""
    monkeypatch.setattr(supervisor, "BACKOFF_SECONDS_MAX", 1.0)
    keeper.start(program("web", "exit 3"))
    tend_until(keeper, lambda: len(notes.lines) == 3)
    pauses = [line.split(" again in ")[1].split()[0] for line in notes.lines]
    assert pauses == ["0.5", "1.0", "1.0"]
    assert "ended with status 3" in notes.lines[0]


def test_who_lived_long_is_started_again_after_the_shortest_pause(
    keeper: Supervisor,
    notes: Notes,
    program: Callable[..., Program],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash a day is no crash loop."""
    monkeypatch.setattr(supervisor, "STABLE_SECONDS", 0.0)
    keeper.start(program("web", "exit 3"))
    tend_until(keeper, lambda: len(notes.lines) == 3)
    assert all("again in 0.5 s" in line for line in notes.lines)


def test_what_a_dead_process_left_in_its_group_is_gone_before_it_starts_again(
    tmp_path: Path, keeper: Supervisor, program: Callable[..., Program]
) -> None:
    """A worker's children must not go on beside the next worker's."""
    keeper.start(program("worker", f"sleep 600 & echo $! > {tmp_path}/child; wait"))
    child = tmp_path / "child"
    tend_until(keeper, lambda: child.exists() and bool(child.read_text()))
    orphan = int(child.read_text())
    os.kill(pids(tmp_path, "worker")[0], signal.SIGKILL)
    tend_until(keeper, lambda: len(pids(tmp_path, "worker")) == 2)
    assert not process.is_alive(orphan)


def test_a_service_that_fails_to_start_again_is_tried_later(
    tmp_path: Path, keeper: Supervisor, notes: Notes, program: Callable[..., Program]
) -> None:
    """The reason is shown; the others are not disturbed."""

    class Fragile(Program):
        def start(self) -> None:
            if pids(tmp_path, self.name) and len(notes.lines) < 2:
                raise DevError
            super().start()

    made = program("db", "exit 0")
    made.__class__ = Fragile
    keeper.start(made)
    tend_until(keeper, lambda: len(pids(tmp_path, "db")) == 2)
    assert "could not start" in notes.lines[1]


def test_processes_stop_in_the_order_given_and_none_is_left(
    tmp_path: Path, keeper: Supervisor, notes: Notes, program: Callable[..., Program]
) -> None:
    """Each has ended before the next is asked; what is not named comes last."""
    order = tmp_path / "order"
    for name in ("extra", "worker", "web"):
        script = (
            f"trap 'sleep 0.2; echo {name} >> {order}; exit' TERM; while :; do sleep 0.05; done"
        )
        keeper.start(program(name, script))
    tend_until(keeper, lambda: all(pids(tmp_path, n) for n in ("extra", "worker", "web")))
    keeper.stop(["web", "absent", "worker"])
    assert order.read_text().split() == ["web", "worker", "extra"]
    assert notes.lines == ["web stopping", "worker stopping", "extra stopping"]
    assert not any(process.is_alive(pids(tmp_path, n)[0]) for n in ("extra", "worker", "web"))


def test_who_ignores_sigterm_is_killed_with_its_children(
    tmp_path: Path, keeper: Supervisor, program: Callable[..., Program]
) -> None:
    """After its grace; at once when the user is in a hurry."""
    for name, grace_seconds in (("web", 0.2), ("worker", 600.0)):
        keeper.start(program(name, STUBBORN, grace_seconds=grace_seconds))
    tend_until(keeper, lambda: bool(pids(tmp_path, "web") and pids(tmp_path, "worker")))
    started = [pids(tmp_path, name)[0] for name in ("web", "worker")]
    family = started + [child for pid in started for child in process.descendants(pid)]
    keeper.stop(["web"], hurried=lambda: True)
    assert not any(process.is_alive(pid) for pid in family)


def test_warnings_in_a_log_are_shown_with_the_name_of_the_process(
    keeper: Supervisor, notes: Notes, program: Callable[..., Program]
) -> None:
    """The rest stays in the file."""
    keeper.start(program("web", "echo fine; echo ERROR: no disk; exec sleep 600"))
    tend_until(keeper, lambda: bool(notes.lines))
    assert notes.lines == ["web ERROR: no disk"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties children to their parent")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """kill -9 leaves it no chance to stop them."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert process.wait_until(
        lambda: all(process.is_alive(pid) for pid in children), WAIT_SECONDS_MAX
    )
    parent.kill()
    parent.wait()
    assert process.wait_until(
        lambda: not any(process.is_alive(pid) for pid in children), WAIT_SECONDS_MAX
    )

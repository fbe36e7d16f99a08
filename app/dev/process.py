"""How child processes are started, watched and stopped. Invariant: a child leads its own session,
so that a terminal's Ctrl-C does not reach it, and dies when the process that started it dies.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import launch

POLL_SECONDS = 0.02
KILL_SECONDS_MAX = 5.0
HURRIED_SECONDS_MAX = 0.5
"""What a step of a polite stop still gets when the user presses Ctrl-C a second time."""

StopStep = tuple[signal.Signals, float]
"""A signal, and for how many seconds to wait for its effect."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The user a child runs as; `override` lets it pass directories closed to that user."""

    uid: int
    gid: int
    override: bool


def never() -> bool:
    """Answer no: nobody is in a hurry."""
    return False


def wait_until(happened: Callable[[], bool], seconds: float) -> bool:
    """Poll until something happened; return whether it did within so many seconds."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def spawn(
    argv: Sequence[str],
    *,
    log_path: Path,
    death_signal: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    identity: Identity | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program (argv[0] is its full path), its output appended to a file."""
    # The kernel sends the death signal when the *thread* that spawned ends, not the process.
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("start child processes from the main thread only")
    user = (identity.uid, identity.gid, int(identity.override)) if identity else (launch.KEEP, 0, 0)
    prelude = [*map(str, user), str(os.getpid()), str(int(death_signal))]
    # Logs may show what records hold.
    with open(log_path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", launch.__file__, *prelude, *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )


def stop(
    process: subprocess.Popen[bytes],
    steps: Iterable[StopStep],
    hurried: Callable[[], bool] = never,
) -> None:
    """Signal a child step by step until it ends, at last by SIGKILL; leave none of its group."""

    def ended() -> bool:
        return process.poll() is not None

    for signum, seconds in steps:
        if ended():
            break
        process.send_signal(signum)
        if not wait_until(lambda: ended() or hurried(), seconds):
            continue
        wait_until(ended, HURRIED_SECONDS_MAX)
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a child, all its descendants and what is left of its group, by SIGKILL, at once."""
    family = []
    if process.poll() is None:
        # Stopped first, so that it cannot fork while its children are being counted.
        process.send_signal(signal.SIGSTOP)
        family = descendants(process.pid)
        process.kill()
        process.wait(KILL_SECONDS_MAX)
    for pid in family:
        send(pid, signal.SIGKILL)
    send(-process.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in family), KILL_SECONDS_MAX)


def send(pid: int, signum: signal.Signals) -> None:
    """Signal a process, or a group given as a negative number, if it is still there."""
    # Permission: on macOS what a group that holds only zombies answers.
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    return bool(command_line(pid))


def command_line(pid: int) -> str:
    """Return the command line of any process, empty if there is none."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8")
        except OSError:
            return ""
    state, _, command = _ps("-o", "state=,command=", "-p", str(pid)).strip().partition(" ")
    return "" if state.startswith("Z") else command


def descendants(pid: int) -> list[int]:
    """Return the process ids of a process's children, their children, and so on."""
    parents = _parents()
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found[1:]


def _parents() -> dict[int, int]:
    if not Path("/proc/self/stat").exists():
        rows = (line.split() for line in _ps("-A", "-o", "pid=,ppid=").splitlines())
        return {int(row[0]): int(row[1]) for row in rows}
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        # The second field is the name in parentheses and may hold anything, even parentheses.
        parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return parents


def _ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout

"""What the embedded servers share: one owner per data directory, a free port, a start that ends
only when clients are accepted, a stop that leaves nothing. Invariant: never two servers on the
same data, whatever was killed before.
"""

import json
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Self

from . import files, process
from .errors import ServerFailed
from .locks import DirectoryLock
from .process import Identity, StopStep

START_SECONDS_MAX = 30.0
RETRY_SECONDS = 0.1
PORTS = range(20_000, 32_000)
"""Below what systems hand out to outgoing connections (32,768 and up on Linux), so that none of
those takes a server's port while it restarts."""
PORT_ATTEMPTS_MAX = 100


class EmbeddedServer(ABC):
    """A server of our own on 127.0.0.1, which lives no longer than the process that starts it."""

    name: ClassVar[str]
    death_signal: ClassVar[signal.Signals]
    stop_steps: ClassVar[tuple[StopStep, ...]]
    start_seconds_max: ClassVar[float] = START_SECONDS_MAX

    def __init__(self, data_dir: Path, *, log_path: Path | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.log_path = log_path or self.data_dir / f"{self.name}.log"
        self._lock = DirectoryLock(self.data_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 it listens on; known once it has started."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of the running server."""
        return self._process.pid if self._process and self.poll() is None else None

    def start(self) -> None:
        """Start and wait, bounded, until clients are accepted; nothing if it runs already.

        Raises:
            AlreadyRunning: another process has a server on this data directory.
            ServerFailed: it ended or stayed silent; says so with the end of its log.
        """
        if self.pid is not None:
            return
        files.make_directory(self.data_dir)
        self._lock.acquire()
        try:
            self._stop_orphan()
            self._prepare()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def poll(self) -> int | None:
        """Return None while it runs, else its exit status, as subprocess does."""
        return self._process.poll() if self._process else 0

    def stop(self, hurried: Callable[[], bool] = process.never) -> None:
        """End it in good order, and let others have the data directory."""
        if self._process:
            process.stop(self._process, self.stop_steps, hurried)
            self._process = None
        self._lock.release()

    def kill(self) -> None:
        """End it and its children by SIGKILL, as a crash would; start() then goes on from there."""
        if self._process:
            process.kill(self._process)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self) -> None:
        """Make what a start needs; the data directory is ours now."""

    @abstractmethod
    def _argv(self) -> Sequence[str]:
        """Return the command line, the program's full path first."""

    @abstractmethod
    def _accepts(self) -> bool:
        """Tell whether a client is served."""

    @abstractmethod
    def _marker(self) -> str:
        """Return the part of the command line that only a server of this directory has."""

    def _identity(self) -> Identity | None:
        return None

    def _env(self) -> dict[str, str]:
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def _launch(self) -> None:
        """Start it on a free port, again where what stands in its way passes; wait for it."""
        deadline = time.monotonic() + self.start_seconds_max
        self._port = self._port or int(self._state().get("port", 0))
        while True:
            self._port = free_port(prefer=self._port)
            log_start = files.size_of(self.log_path)
            if self._serves_by(deadline):
                return
            said = files.tail(self.log_path, start=log_start)
            taken = "Address already in use" in said
            # The children of a killed Postgres may still hold its shared memory for a moment.
            lingering = "is still in use" in said
            if time.monotonic() >= deadline or not (taken or lingering):
                raise ServerFailed(name=self.name, reason=self._reason(), tail=said)
            self._port = 0 if taken else self._port
            time.sleep(RETRY_SECONDS)

    def _serves_by(self, deadline: float) -> bool:
        server = self._process = process.spawn(
            self._argv(),
            log_path=self.log_path,
            death_signal=self.death_signal,
            env=self._env(),
            cwd=self.data_dir,
            identity=self._identity(),
        )
        self._remember(server.pid)

        def settled() -> bool:
            return server.poll() is not None or self._accepts()

        process.wait_until(settled, deadline - time.monotonic())
        return server.poll() is None and self._accepts()

    def _reason(self) -> str:
        status = self.poll()
        if status is None:
            return f"it accepted no client for {self.start_seconds_max:.0f} s"
        return f"it ended with status {status}"

    def _stop_orphan(self) -> None:
        """Stop a server on this data whose parent is gone: we hold the lock, so nobody owns it."""
        pid = int(self._state().get("pid", 0))
        if pid and self._is_ours(pid):
            for signum, seconds in (*self.stop_steps, (signal.SIGKILL, process.KILL_SECONDS_MAX)):
                process.send(pid, signum)
                if process.wait_until(lambda: not self._is_ours(pid), seconds):
                    break

    def _is_ours(self, pid: int) -> bool:
        # The pid may be another program's by now.
        return self._marker() in process.command_line(pid)

    def _state(self) -> dict[str, str]:
        return files.read_json(self.data_dir / "state.json")

    def _remember(self, pid: int) -> None:
        state = {"pid": str(pid), "port": str(self._port), **self._extra_state()}
        files.write_private(self.data_dir / "state.json", json.dumps(state))

    def _extra_state(self) -> dict[str, str]:
        return {}


def free_port(*, prefer: int = 0) -> int:
    """Return a port of 127.0.0.1 nobody listens on, the preferred one if possible."""
    for attempt in range(PORT_ATTEMPTS_MAX):
        port = prefer if prefer and attempt == 0 else random.choice(PORTS)  # nosec B311
        if is_port_free(port):
            return port
    raise OSError(f"no free port found in {PORTS}")


def is_port_free(port: int) -> bool:
    """Tell whether a server could listen on a port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do: connections that have ended do not block a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    with socket.socket() as client:
        # macOS lets us bind beside a server that listens on all addresses.
        return client.connect_ex(("127.0.0.1", port)) != 0

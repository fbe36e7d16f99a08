"""A process of the Procfile: one shell command that runs until it is stopped."""

import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from . import process


class Program:
    """A command line, started as often as wanted, its output in a log.

    Args:
        command: one simple command for the shell, which it replaces; no pipes, no `&&`.
        grace_seconds: how long it may take to stop in good order, before SIGKILL.
    """

    def __init__(
        self,
        name: str,
        command: str,
        *,
        env: Mapping[str, str],
        cwd: Path,
        log_path: Path,
        grace_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._command = command
        self._env = env
        self._cwd = cwd
        self._grace_seconds = grace_seconds
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, after whatever its last life may have left behind is gone."""
        self.stop()
        self.process = process.spawn(
            # exec: signals, ours and the kernel's at our death, reach the command, not a shell.
            ["/bin/sh", "-c", f"exec {self._command}"],
            log_path=self.log_path,
            env=self._env,
            cwd=self._cwd,
        )

    def poll(self) -> int | None:
        """Return None while it runs, else its exit status, as subprocess does."""
        return self.process.poll() if self.process else 0

    def stop(self, hurried: Callable[[], bool] = process.never) -> None:
        """Ask it to end, and see to it that it and its children do."""
        if self.process:
            process.stop(self.process, [(signal.SIGTERM, self._grace_seconds)], hurried)
            self.process = None

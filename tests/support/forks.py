"""Children of the test process, to be killed: each runs one function and is gone."""

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

WAIT_S = 20.0


class Fork:
    """A forked child; at the end of a with-block it is killed, should it still live."""

    def __init__(self, work: Callable[[int], object]) -> None:
        """Fork and run `work(pipe)`, which may write bytes to the pipe, in the child."""
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _run(work, write)
        os.close(write)
        self._status: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.kill()
        os.close(self._read)

    def line(self) -> bytes:
        """Bytes the child wrote, up to a line's end; empty when it is gone."""
        text = b""
        while not text.endswith(b"\n"):
            byte = os.read(self._read, 1)
            if not byte:
                break
            text += byte
        return text.strip()

    def rest(self) -> bytes:
        """All the child wrote and nobody has read yet."""
        text = b""
        while chunk := os.read(self._read, 65536):
            text += chunk
        return text

    def kill(self) -> None:
        """SIGKILL the child and see it gone."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            self._status = os.waitpid(self.pid, 0)[1]

    def wait(self) -> int:
        """Wait for the child's own end; returns its exit code."""
        deadline = time.monotonic() + WAIT_S
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = status
                break
            assert time.monotonic() < deadline, "the child did not end"
            time.sleep(0.005)
        return os.waitstatus_to_exitcode(self._status)


def _run(work: Callable[[int], object], pipe: int) -> None:
    code = 1
    try:
        work(pipe)
        code = 0
    except BaseException:
        os.write(pipe, traceback.format_exc().encode())
    finally:
        os._exit(code)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow past `size` bytes, as a full disk would."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def until(condition: Callable[[], object], timeout_s: float = WAIT_S) -> None:
    """Poll until a condition holds.

    Raises:
        AssertionError: it did not, in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.005)

"""How `make test` shares the tests among processes, each with servers of its own.

The tests of a file stay in one process. Files that start the whole product run one at a time,
beside others, as long as there are others. A test marked `alone` runs while no other does.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).parents[2]
PROCESSES = 2  # each has a Postgres, a broker and a worker
HEAVY = (
    *("tests/acceptance/", "tests/faults/", "tests/integration/test_dev_run.py"),
    *("tests/integration/test_dev_servers.py", "tests/integration/test_read_replica.py"),
)


class Files(LoadScopeScheduling):
    """Gives each process the next file that goes well with what the others run."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        taken = any(self._runs_heavy(other) for other in self.nodes if other is not node)

        def cost(path: str) -> tuple[bool, bool]:
            return is_for_the_end(path), is_heavy(path) == taken

        self.workqueue.move_to_end(min(self.workqueue, key=cost), last=False)
        super()._assign_work_unit(node)

    def _runs_heavy(self, node: WorkerController) -> bool:
        units = self.assigned_work[node].items()
        return any(is_heavy(path) and not all(tests.values()) for path, tests in units)


def is_heavy(path: str) -> bool:
    """Whether a file starts the whole product, or as much."""
    return path.startswith(HEAVY)


@cache
def is_for_the_end(path: str) -> bool:
    """Whether tests of a file want to be alone: at the end, least waits for them."""
    return "pytest.mark.alone" in (ROOT / path).read_text()


def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means here: servers that were given are not shared."""
    return 0 if {"DATABASE_URL", "REDIS_URL"} & os.environ.keys() else PROCESSES


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Files:
    """Files in the order in which they were collected."""
    config.option.loadscopereorder = False
    return Files(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that no timeout runs while a test waits
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a test run beside those of the other processes, or alone."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    shared = Path(item.config.getoption("basetemp")).parent
    with turn(shared, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Be in a room of all processes that name this folder, with others or alone.

    Who waits for the room keeps its door, or others could go in for ever while one wants it alone.
    """
    with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:  # not by closing alone: a child that a test forked may have it open for longer
            fcntl.flock(room, fcntl.LOCK_UN)

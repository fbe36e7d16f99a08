"""Children that are killed at a step of a purge or an erasure.

They are forked from a server that has loaded what they need and used none of it: a fork of the test
itself would inherit the locks of DuckDB's and Arrow's threads.
"""

import importlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from typing import Any, NamedTuple

from app.config import Settings
from app.pipeline import purging
from app.pipeline.erasures import Erasures
from app.pipeline.persist import Persister
from app.pipeline.purging import Purger
from app.store.objects import LocalObjects
from app.store.session import Database

LOADED = ["app.pipeline.erasures", "app.store.segment_file", "duckdb", __name__]


class Step(NamedTuple):
    """Where to die: before or after a step was done, once it was done some times before.

    Attributes:
        place: a module, or a module's class as module:class.
    """

    place: str
    name: str
    when: str
    times: int = 0


def purges(settings: Settings) -> None:
    """Purge, two rows at a time."""
    purging.ROWS_MAX = 2
    Purger(Database.connect(settings.url_of("maintenance")), _objects(settings)).run()


def erases(settings: Settings) -> None:
    """Carry out what was confirmed."""
    worker = Persister(Database.connect(settings.url_of("worker")))
    Erasures(Database.connect(settings.url_of("maintenance")), settings, worker).run()


def _objects(settings: Settings) -> LocalObjects:
    return LocalObjects(settings.archive_dir)


def die_at(step: Step, work: Callable[[Settings], None], settings: Settings) -> None:
    """Work until the step, in this process, and kill it there."""
    module, _, within = step.place.partition(":")
    place: Any = importlib.import_module(module)
    place = getattr(place, within) if within else place
    original, left = getattr(place, step.name), [step.times]

    def call(*args: Any, **options: Any) -> Any:
        if step.when == "before" and not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **options)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return result

    setattr(place, step.name, call)
    work(settings)


@contextmanager
def nursery() -> Iterator[Callable[[Step, Callable[[Settings], None], Settings], int]]:
    """Has children work until they die; tells the signal that ended each, or 0."""
    context = get_context("forkserver")
    context.set_forkserver_preload(LOADED)

    def run(step: Step, work: Callable[[Settings], None], settings: Settings) -> int:
        child = context.Process(target=die_at, args=(step, work, settings))
        child.start()
        child.join(60)
        return -(child.exitcode or 0)

    try:
        yield run
    finally:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]

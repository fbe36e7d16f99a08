"""Every task has a queue that a worker of the Procfile reads, and beat asks only for real tasks."""

import re
from pathlib import Path

import celeryconfig
import tasks
from app import worker

ROOT = Path(__file__).parents[2]


def ours() -> set[str]:
    """The names of our tasks, as the worker registers them."""
    tasks.celery.loader.import_default_modules()
    return {name for name in tasks.celery.tasks if name.startswith("opsledger.")}


def test_every_task_has_an_explicit_queue() -> None:
    """No task falls into a default queue that nobody reads."""
    assert set(celeryconfig.task_routes) == ours()


def test_every_queue_is_read_by_the_worker_of_the_procfile() -> None:
    """A queue without a reader is a place where records wait for ever."""
    (read,) = re.findall(r"^worker: .*--queues (\S+)", (ROOT / "Procfile").read_text(), re.M)
    declared = {queue.name for queue in celeryconfig.task_queues}
    assert declared == set(read.split(","))
    assert {route["queue"] for route in celeryconfig.task_routes.values()} == declared


def test_no_two_queues_get_the_same_message() -> None:
    """On a direct exchange, queues bound by one key would each get a copy."""
    keys = {(queue.exchange.name, queue.routing_key) for queue in celeryconfig.task_queues}
    assert len(keys) == len(celeryconfig.task_queues)


def test_beat_asks_for_registered_tasks_that_expire() -> None:
    """Upkeep that waited while no worker ran must not pile up."""
    for entry in celeryconfig.beat_schedule.values():
        assert entry["task"] in ours()
        assert entry["options"]["expires"] <= entry["schedule"]


def test_task_names_are_the_ones_the_app_enqueues_by() -> None:
    """The app sends by name; the name must be somebody's."""
    named = {value for name, value in vars(worker).items() if name.endswith("_TASK")}
    assert named == ours()


def test_a_message_is_acknowledged_only_after_its_work() -> None:
    """Late acknowledgement, and redelivery when a worker dies."""
    assert celeryconfig.task_acks_late
    assert celeryconfig.task_reject_on_worker_lost

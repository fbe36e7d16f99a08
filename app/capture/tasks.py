"""Identity into Celery tasks: who acts where a task is sent, acts where it runs."""

from contextvars import Token
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from ..telemetry import get_logger
from .acting import Acting, current_acting, lay_down, take_on
from .hooks import request_acting

HEADER = "opsledger"
_tokens: dict[str, Token[Acting]] = {}  # by task id; a task begins and ends in one thread

log = get_logger(__name__)


def carry_into_tasks() -> None:
    """Let tasks act as who sent them: call it once, where tasks are sent and where they run.

    The identity is the current `acting`, and what it does not say, the request's tenant and user.
    Calling it again does nothing.
    """
    before_task_publish.connect(_put, weak=False, dispatch_uid="opsledger-acting")
    task_prerun.connect(_take, weak=False, dispatch_uid="opsledger-acting")
    task_postrun.connect(_drop, weak=False, dispatch_uid="opsledger-acting")


def _put(headers: Any = None, **_: Any) -> None:
    try:
        told = current_acting().over(request_acting()).as_header()
        if told and isinstance(headers, dict):
            headers.setdefault(HEADER, told)
    except Exception:  # a task is sent, whoever sends it
        log.exception("identity not sent with a task")


def _take(task_id: str = "", task: Any = None, **_: Any) -> None:
    try:
        who = Acting.from_header(task.request.get(HEADER))
        if who is not None:
            _tokens[task_id] = take_on(who)
    except Exception:
        log.exception("identity of a task not known")


def _drop(task_id: str = "", **_: Any) -> None:
    token = _tokens.pop(task_id, None)
    if token is not None:
        lay_down(token)

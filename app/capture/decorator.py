"""@logs_action: a function whose every call is one action log, plain or a Celery task."""

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from ..domain.records import ActionStatus
from .actions import ActionLogger

Params = ParamSpec("Params")
Result = TypeVar("Result")

OWN = frozenset({"self", "cls"})  # of methods and bound tasks; they are no part of what was asked
RETRY = "celery.exceptions.Retry"  # what a task raises to be run again


def logs_action(
    action_type: str,
    *,
    provider: str,
    tenant_id: Callable[..., UUID | str | None] | None = None,
) -> Callable[[Callable[Params, Result]], Callable[Params, Result]]:
    """Put each call of a function on record: its arguments, what it returns or raises, its time.

    >>> @celery.task
    ... @logs_action("email_send", provider="ses")
    ... def send(to, subject): ...

    The arguments are the request, by their names; what is returned is the response. A Celery task
    that asks to be run again (`self.retry`) is on record as `retry`, and all its runs share the
    task's id as operation_id.

    Args:
        tenant_id: is called with the function's arguments and says whose call it is; by the current
            `acting` or the request if not given.

    Raises:
        InvalidRecord: at a call, when its record would break a rule; the function is not run.
    """

    def decorate(function: Callable[Params, Result]) -> Callable[Params, Result]:
        if inspect.iscoroutinefunction(function):
            raise TypeError("logs_action is for plain functions: in a coroutine use ActionLogger")
        signature = inspect.signature(function)

        @functools.wraps(function)
        def logged(*args: Params.args, **kwargs: Params.kwargs) -> Result:
            whose = tenant_id(*args, **kwargs) if tenant_id is not None else None
            logger = ActionLogger(
                whose,
                action_type,
                provider,
                request_payload=_named(signature, args, kwargs),
                operation_id=_task_id(),
            )
            with _Retryable(logger):
                result = function(*args, **kwargs)
                logger.response_data = result
            return result

        return logged

    return decorate


class _Retryable:
    """An ActionLogger's block, in which a task's wish to be run again is no failure."""

    def __init__(self, logger: ActionLogger) -> None:
        self._logger = logger

    def __enter__(self) -> None:
        self._logger.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and _is_retry(error):
            self._logger.status = ActionStatus.RETRY
            self._logger.error_message = str(error)
            self._logger.__exit__(None, None, None)
        else:
            self._logger.__exit__(kind, error, traceback)


def _is_retry(error: BaseException) -> bool:
    return any(f"{base.__module__}.{base.__name__}" == RETRY for base in type(error).__mro__)


def _task_id() -> str | None:
    """The id of the Celery task that runs here, if one does."""
    from celery import current_task

    request = getattr(current_task, "request", None) if current_task else None
    return getattr(request, "id", None)


def _named(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Arguments by name; those that do not fit the function are told as they came."""
    try:
        given = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError:  # the function itself will say so
        return {"args": list(args), **kwargs}
    return {name: value for name, value in given.items() if name not in OWN}

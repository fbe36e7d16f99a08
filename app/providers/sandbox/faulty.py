"""Faults of the sandbox, made on purpose: which operation has which, and how each comes about."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson

from ...domain.faults import OK, Fault, read_faults
from ...errors import ProviderTimeout
from ...setting_types import InvalidSetting
from ...telemetry import get_logger
from ..messages import Request, Response, Transport

SETTING = "OPSLEDGER_SANDBOX_FAULTS"
PLAN_RULE = "empty, or N:STEPS, where every Nth operation has these faults, as in 10:500,ok"

NO_FAULTS: tuple[Fault, ...] = (OK,)

log = get_logger(__name__)


class FaultPlan:
    """Which operations of this process have faults that nobody asked for: every nth one.

    Raises:
        InvalidSetting: the plan is none.
    """

    def __init__(self, text: str) -> None:
        every, parted, steps = text.partition(":")
        self._every, self._script = 0, NO_FAULTS
        if text:
            try:
                self._every, self._script = int(every), read_faults(steps)
            except ValueError as error:
                raise InvalidSetting(SETTING, text, PLAN_RULE) from error
            if self._every < 1 or not parted:
                raise InvalidSetting(SETTING, text, PLAN_RULE)
        self._count = itertools.count(1)  # its next() is one step of the interpreter

    def next_script(self) -> tuple[Fault, ...]:
        """The faults of the next operation."""
        if not self._every or next(self._count) % self._every:
            return NO_FAULTS
        return self._script


class FaultyTransport:
    """One operation's way to a server, with the faults of a script.

    Args:
        answer: the server.
        script: what each attempt meets; the last step goes on for ever.
    """

    def __init__(
        self,
        server: Transport,
        script: tuple[Fault, ...],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = server
        self._steps: Iterator[Fault] = itertools.chain(script, itertools.repeat(script[-1]))
        self._sleep = sleep

    def send(self, request: Request, *, timeout_s: float) -> Response:
        """Ask the server, unless the next step says otherwise."""
        fault = next(self._steps)
        if fault.kind == "ok":
            return self._server.send(request, timeout_s=timeout_s)
        log.info("fault made", fault=fault.kind, method=request.method, url=request.url)
        if fault.status is not None:
            return _refusal(fault)
        if fault.kind == "timeout":
            self._be_late(timeout_s, timeout_s)
        self._be_late((fault.value or 0.0) / 1000, timeout_s)
        response = self._server.send(request, timeout_s=timeout_s)
        if fault.kind == "lost":
            self._be_late(timeout_s, timeout_s)
        if fault.kind == "malformed":
            return replace(response, status=200, body=_broken_off(response.body))
        return response

    def _be_late(self, late_s: float, timeout_s: float) -> None:
        self._sleep(min(late_s, timeout_s))
        if late_s >= timeout_s:
            raise ProviderTimeout("The sandbox did not answer in time")


def _refusal(fault: Fault) -> Response:
    words = {
        "code": f"fault_{fault.kind}",
        "message": f"The sandbox was asked to fail: {fault.kind}",
    }
    headers = {"content-type": "application/json"}
    if fault.value is not None:
        headers["retry-after"] = f"{fault.value:g}"
    return Response(status=fault.status or 500, headers=headers, body=orjson.dumps(words))


def _broken_off(body: bytes) -> bytes:
    return body[: len(body) // 2] if len(body) > 1 else b'{"id": "'

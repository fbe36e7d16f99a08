"""One operation of a tenant at a provider: its calls, their attempts, and its one outcome.

Whatever happens inside, exactly one record says how it ended; each attempt that was made again
left a record before it (`retry`). All share the operation's id.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from ..capture import log_action
from ..domain.records import ActionStatus
from ..errors import ProviderCode, ProviderError, ProviderNonsense
from ..telemetry import PROVIDER_ATTEMPTS, get_logger
from .messages import Request, Response, Transport
from .policy import Breaker, Policy, refusal_of_status

REQUEST_ID_HEADERS = ("x-request-id", "x-hubspot-correlation-id", "x-zendesk-request-id")

log = get_logger(__name__)

Judge = Callable[[Response], ProviderError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How a tenant's operations reach a provider.

    Args:
        provider: its name, as it stands in records.
        transport: how requests get there.
        timeout_s: of one attempt.
        judge: reads the provider's own words for a status of 400 or more.
        clock: seconds, monotonic.
        sleep: waits for so many seconds.
        chance: a number from 0 to 1, by chance.
    """

    provider: str
    transport: Transport
    timeout_s: float
    policy: Policy
    breaker: Breaker
    judge: Judge
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """One try of one call, and what came of it."""

    request: Request
    number: int
    elapsed_ms: float = 0.0
    response: Response | None = None
    error: ProviderError | None = None
    pause_s: float | None = None
    refused: bool = False  # by the breaker, so that nothing was sent

    def as_metadata(self) -> dict[str, Any]:
        """What is on record of the exchange itself."""
        told: dict[str, Any] = {
            "method": self.request.method,
            "url": self.request.shown_url,
            "attempt": self.number,
            "request_bytes": len(self.request.body or b""),
        }
        if self.response is not None:
            headers = self.response.headers
            told["status"] = self.response.status
            told["response_bytes"] = len(self.response.body)
            given = (headers[name] for name in REQUEST_ID_HEADERS if name in headers)
            told["request_id"] = next(given, None)
        if self.error is not None:
            told["code"] = self.error.code.value
            told["provider_code"] = self.error.provider_code
            told["retry_after_s"] = self.error.retry_after_s
        if self.pause_s is not None:
            told["next_attempt_after_ms"] = round(self.pause_s * 1000)
        return {name: value for name, value in told.items() if value is not None}


class Operation:
    """The calls of one operation; a with-block puts its outcome on record.

    Args:
        operation_id: joins its records.
        tenant_id: whose.
        action_type: what, such as crm_create.
        line: how its provider is reached.
    """

    def __init__(self, operation_id: str, tenant_id: UUID, action_type: str, line: Line) -> None:
        self.id = operation_id
        self.tenant_id = tenant_id
        self.action_type = action_type
        self._line = line
        self._calls: list[_Attempt] = []  # the last attempt of each call

    def send(self, request: Request) -> Response:
        """Make a call, again and again where that is safe and may help.

        Raises:
            ProviderError: the provider did not do it.
        """
        line, number, doubtful = self._line, 0, False
        while True:
            number += 1
            attempt = self._try(request, number)
            error = attempt.error
            if doubtful and _was_deleted(request, error):
                error = attempt.error = None  # by an attempt whose answer was lost
            if error is None or attempt.refused:
                break
            attempt.pause_s = line.policy.pause_s(request, error, number, line.chance())
            if attempt.pause_s is None:
                break
            doubtful = doubtful or not error.untouched
            self._calls.append(attempt)
            self._record(ActionStatus.RETRY, error.detail)
            self._calls.pop()
            line.sleep(attempt.pause_s)
        self._calls.append(attempt)
        if error is not None:
            raise error
        assert attempt.response is not None  # noqa: S101 # an attempt has one or an error  # nosec B101
        return attempt.response

    def _try(self, request: Request, number: int) -> _Attempt:
        line = self._line
        attempt = _Attempt(request=request, number=number)
        key = (self.tenant_id, line.provider)
        try:
            line.breaker.admit(key)
        except ProviderError as error:
            attempt.error, attempt.refused = error, True
            PROVIDER_ATTEMPTS.labels(line.provider, "refused").inc()
            return attempt
        started = line.clock()
        try:
            attempt.response = line.transport.send(request, timeout_s=line.timeout_s)
            attempt.error = self._judged(attempt.response, request)
        except ProviderError as error:
            attempt.error = error
        except BaseException:
            line.breaker.pass_over(key)
            attempt.elapsed_ms = (line.clock() - started) * 1000
            self._calls.append(attempt)
            raise
        attempt.elapsed_ms = (line.clock() - started) * 1000
        if line.breaker.note(key, attempt.error):
            log.warning("provider left alone", provider=line.provider, tenant=str(self.tenant_id))
        outcome = attempt.error.code.value if attempt.error else "success"
        PROVIDER_ATTEMPTS.labels(line.provider, outcome).inc()
        return attempt

    def _judged(self, response: Response, request: Request) -> ProviderError | None:
        if response.status >= 400:
            try:
                return self._line.judge(response)
            except Exception:  # words that are not the provider's own, as of a proxy between
                retry_after = response.headers.get("retry-after")
                detail = f"The provider answered with status {response.status}"
                return refusal_of_status(response.status, detail, retry_after=retry_after)
        if response.status >= 300:
            return ProviderNonsense(f"The provider answered with status {response.status}")
        bare = request.empty and not response.body
        if not bare and not isinstance(response.json(), dict | list):
            return ProviderNonsense()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._record(ActionStatus.SUCCESS, None)
        elif isinstance(error, ProviderError):
            late = error.code is ProviderCode.TIMEOUT
            self._record(ActionStatus.TIMEOUT if late else ActionStatus.FAILURE, error.detail)
        else:
            self._record(ActionStatus.FAILURE, f"{type(error).__name__}: {error}")

    def _record(self, status: ActionStatus, message: str | None) -> None:
        calls = self._calls
        first, last = (calls[0], calls[-1]) if calls else (None, None)
        metadata: dict[str, Any] = {}
        if last is not None:
            metadata["provider"] = last.as_metadata()
        if len(calls) > 1:
            metadata["calls"] = [call.as_metadata() for call in calls]
        log_action(
            tenant_id=self.tenant_id,
            action_type=self.action_type,
            provider_name=self._line.provider,
            request_payload=first.request.payload if first else {},
            response_data=last.response.shown if last and last.response else None,
            status=status,
            error_message=message,
            execution_time_ms=sum(call.elapsed_ms for call in calls),
            operation_id=self.id,
            metadata=metadata,
        )


def _was_deleted(request: Request, error: ProviderError | None) -> bool:
    found = error is not None and error.code is ProviderCode.NOT_FOUND
    return found and request.method == "DELETE"

"""log_action and ActionLogger: how a provider operation is put on record."""

import time
from types import TracebackType
from typing import Any, Self, Unpack
from uuid import UUID

from ..domain.records import ActionStatus
from ..telemetry import get_logger
from .hooks import request_tenant
from .recorder import current_recorder
from .terms import Terms, TermsGiven

log = get_logger(__name__)


def log_action(
    *,
    tenant_id: UUID | str | None = None,
    action_type: str,
    provider_name: str,
    request_payload: Any = None,
    response_data: Any = None,
    status: str,
    execution_time_ms: float,
    error_message: str | None = None,
    operation_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    **terms: Unpack[TermsGiven],
) -> UUID:
    """Put one provider operation on record.

    Args:
        tenant_id: whose operation; within a request the request's tenant if not given.
        action_type: one of the platform's action types, such as crm_create.
        status: pending, success, failure, timeout or retry, in any case.
        execution_time_ms: duration in milliseconds, 0 or more.
        operation_id: what joins the attempts and the outcome of one operation.
        terms: wait=True (with timeout_s) to return once Postgres has committed the record,
            durable=True to survive a power failure, on_full="raise" to be told where there is no
            room for it; see TermsGiven.

    Returns:
        The record's id, a UUIDv7.

    Raises:
        InvalidRecord: names the field and the rule it breaks. Nothing else is ever raised without
            terms: a record that cannot be kept is counted and logged.
        NotYetCommitted: waited in vain; the record is on this host's disk and will be shipped.
        RecordRefused: waited, and Postgres refused the record; it is a dead letter.
        NotDurable: it is kept, but the disk did not confirm it.
        SpoolFull: on terms only; the record was not kept.
    """
    return current_recorder().record_action(
        {
            "tenant_id": tenant_id if tenant_id is not None else request_tenant(),
            "action_type": action_type,
            "provider_name": provider_name,
            "request_payload": request_payload,
            "response_data": response_data,
            "status": status,
            "error_message": error_message,
            "execution_time_ms": execution_time_ms,
            "operation_id": operation_id,
            "metadata": metadata,
        },
        **terms,
    )


class ActionLogger:
    """Puts the provider call of a with-block on record, timed, whatever its outcome.

    >>> with ActionLogger(tenant_id, "crm_get", "hubspot", request_payload={"id": 7}) as action:
    ...     action.response_data = hubspot.get(7)

    An exception makes the record a failure with the exception's message, a TimeoutError (or one
    whose class is named like it) a timeout; it is raised on. A field that breaks a rule raises
    InvalidRecord on entry, before the provider is called.

    Args:
        terms: as of log_action: wait=True (with timeout_s), durable=True, on_full="raise". What
            they raise is raised at the end of the block, when the provider was called already; an
            exception of the block itself goes before it, and then it is logged.
    """

    def __init__(
        self,
        tenant_id: UUID | str | None,
        action_type: str,
        provider_name: str,
        *,
        request_payload: Any = None,
        operation_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        **terms: Unpack[TermsGiven],
    ) -> None:
        Terms(**terms)  # a mistake in them is told before the provider is called
        self.terms = terms
        self.tenant_id = tenant_id
        self.action_type = action_type
        self.provider_name = provider_name
        self.request_payload = request_payload
        self.operation_id = operation_id
        self.metadata = metadata
        self.response_data: Any = None
        self.status: str = ActionStatus.SUCCESS
        self.error_message: str | None = None
        self.record_id: UUID | None = None
        self._started = 0.0

    def __enter__(self) -> Self:
        current_recorder().check_action(self._values(0.0))
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        elapsed_ms = (time.perf_counter() - self._started) * 1000
        if error is not None:
            self.status = ActionStatus.TIMEOUT if is_timeout(error) else ActionStatus.FAILURE
            self.error_message = _message(error)
        try:
            self.record_id = current_recorder().record_action(
                self._values(elapsed_ms), **self.terms
            )
        except Exception:
            if error is None:
                raise
            log.exception("action not on record as asked")  # the block's own exception matters more

    def _values(self, elapsed_ms: float) -> dict[str, Any]:
        tenant_id = self.tenant_id if self.tenant_id is not None else request_tenant()
        return {
            "tenant_id": tenant_id,
            "action_type": self.action_type,
            "provider_name": self.provider_name,
            "request_payload": self.request_payload,
            "response_data": self.response_data,
            "status": self.status,
            "error_message": self.error_message,
            "execution_time_ms": elapsed_ms,
            "operation_id": self.operation_id,
            "metadata": self.metadata,
        }


def _message(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:
        return type(error).__name__


def is_timeout(error: BaseException) -> bool:
    """Whether an error means that time was up.

    HTTP libraries do not share a base for timeouts, but they do name them so.
    """
    return isinstance(error, TimeoutError) or any(
        "timeout" in base.__name__.lower() for base in type(error).__mro__
    )

"""instrument(): outgoing HTTP calls of code that knows nothing of us, each one action log.

For sessions of requests and clients of httpx, told by their own names, so that neither is loaded
here. Whatever goes wrong in recording, the call goes on as if nobody looked.
"""

import functools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from ..domain.records import ActionStatus
from ..telemetry import get_logger
from .actions import is_timeout, log_action

Client = TypeVar("Client")
ActionType = str | Callable[[str, str], str | None]

INSTRUMENTED = "_opsledger_instrumented"
SHOWN_BYTES_MAX = 256 * 1024  # of a body; what is larger is told by its size alone
_inside: ContextVar[bool] = ContextVar("opsledger_instrumented", default=False)

log = get_logger(__name__)


def instrument(client: Client, *, provider: str, action_type: ActionType) -> Client:
    """Put every call of a session on record, with what was sent and received.

    >>> session = instrument(requests.Session(), provider="hubspot", action_type="crm_get")

    A redirected call is one call. Bodies that are streamed are left to their reader, and told by
    their size if it is known.

    Args:
        client: a requests.Session, an httpx.Client or an httpx.AsyncClient.
        provider: the name in the records.
        action_type: of every call; or what says it by method and URL, and None of what shall not be
            on record.

    Returns:
        The same client.

    Raises:
        TypeError: it is none of these.
    """
    names = {
        f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(client).__mro__
    }
    if not names & {"requests.Session", "httpx.Client", "httpx.AsyncClient"}:
        raise TypeError(f"a session of requests or a client of httpx, not {type(client).__name__}")
    if getattr(client, INSTRUMENTED, False):
        return client
    send: Any = client.send  # type: ignore[attr-defined]

    def begin(request: Any) -> "_Call | None":
        return None if _inside.get() else _begun(request, provider, action_type)

    @functools.wraps(send)
    def logged(request: Any, **options: Any) -> Any:
        call = begin(request)
        if call is None:
            return send(request, **options)
        with _watched(call):
            response = send(request, **options)
        call.end(response=response, streamed=bool(options.get("stream")))
        return response

    @functools.wraps(send)
    async def logged_later(request: Any, **options: Any) -> Any:
        call = begin(request)
        if call is None:
            return await send(request, **options)
        with _watched(call):
            response = await send(request, **options)
        call.end(response=response, streamed=bool(options.get("stream")))
        return response

    asynchronous = "httpx.AsyncClient" in names
    client.send = logged_later if asynchronous else logged  # type: ignore[attr-defined]
    setattr(client, INSTRUMENTED, True)
    return client


@contextmanager
def _watched(call: "_Call") -> Iterator[None]:
    """Within a call no other is begun, as by a redirect; one that raises ends by it."""
    token = _inside.set(True)
    try:
        yield
    except BaseException as error:
        call.end(error=error)
        raise
    finally:
        _inside.reset(token)


def _begun(request: Any, provider: str, action_type: ActionType) -> "_Call | None":
    try:
        method, url = str(request.method), str(request.url)
        kind = action_type if isinstance(action_type, str) else action_type(method, url)
        return None if kind is None else _Call(request, provider, kind)
    except Exception:
        log.exception("call not put on record")
        return None


class _Call:
    """One call, from when it is sent."""

    def __init__(self, request: Any, provider: str, action_type: str) -> None:
        self._request = request
        self._provider = provider
        self._action_type = action_type
        self._started = time.perf_counter()

    def end(
        self, *, response: Any = None, error: BaseException | None = None, streamed: bool = False
    ) -> None:
        """Put it on record; never raises."""
        elapsed_ms = (time.perf_counter() - self._started) * 1000
        try:
            log_action(
                action_type=self._action_type,
                provider_name=self._provider,
                request_payload=_asked(self._request),
                response_data=None if response is None else _answered(response, streamed),
                status=_status(response, error),
                error_message=_message(response, error),
                execution_time_ms=elapsed_ms,
            )
        except Exception:
            log.exception("call not put on record")


def _asked(request: Any) -> dict[str, Any]:
    parts = urlsplit(str(request.url))
    port = f":{parts.port}" if parts.port else ""
    asked: dict[str, Any] = {
        "method": str(request.method),
        "url": f"{parts.scheme}://{parts.hostname}{port}{parts.path}",
    }
    if parts.query:  # by name, so that secrets in it are masked
        asked["query"] = dict(parse_qsl(parts.query, keep_blank_values=True))
    body = getattr(request, "body", None)
    if body is None:
        body = getattr(request, "_content", None)  # of httpx; its `content` raises for a stream
    if body:
        asked["body"] = _shown(body)
    return asked


def _answered(response: Any, streamed: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"status": response.status_code}
    if not streamed and response.content:
        told["body"] = _shown(response.content)
    return told


def _shown(body: Any) -> Any:
    encoded = body.encode() if isinstance(body, str) else body
    if not isinstance(encoded, bytes | bytearray):
        return {"streamed": True}
    if len(encoded) <= SHOWN_BYTES_MAX:
        try:
            return json.loads(encoded)
        except (ValueError, RecursionError):
            pass
    return {"bytes": len(encoded)}


def _status(response: Any, error: BaseException | None) -> str:
    if error is not None:
        return ActionStatus.TIMEOUT if is_timeout(error) else ActionStatus.FAILURE
    return ActionStatus.SUCCESS if response.status_code < 400 else ActionStatus.FAILURE


def _message(response: Any, error: BaseException | None) -> str | None:
    if error is not None:
        return f"{type(error).__name__}: {error}"
    return None if response.status_code < 400 else f"status {response.status_code}"

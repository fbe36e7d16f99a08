"""What goes to a provider and what comes back, as both are put on record.

A transport sends a Request and returns a Response of any status; it raises ProviderAway where the
provider was asked nothing, ProviderTimeout where nobody knows what it did.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from ..errors import ProviderNonsense

UNREADABLE_SHOWN_CHARS = 2_000  # of an answer that is no JSON, on record


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request to a provider.

    Args:
        url: without its query.
        query: parameters of the URL.
        body: what is sent, by `headers` of some type.
        sent: the body as a value, for the record; if it is JSON it is told from the body.
        named: what the path names, for the record.
        repeatable: whether sending it again does nothing more, also when the first one was done.
        empty: whether an answer without JSON is as good as any.
    """

    method: str
    url: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    sent: Any = None
    named: Mapping[str, Any] = field(default_factory=dict)
    repeatable: bool = False
    empty: bool = False

    @property
    def full_url(self) -> str:
        """The URL with its query."""
        return f"{self.url}?{urlencode(self.query, doseq=True)}" if self.query else self.url

    @property
    def payload(self) -> dict[str, Any]:
        """All that was asked, in one object for the record."""
        sent = self.sent
        if sent is None and self.body:
            sent = _read_or_cut(self.body)
        body = sent if isinstance(sent, dict) else {} if sent is None else {"body": sent}
        return {**self.named, **self.query, **body}

    @property
    def shown_url(self) -> str:
        """Where it went; the query is on record elsewhere, where secrets are masked."""
        parts = urlsplit(self.url)
        return (
            f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as a value, None if it is empty.

        Raises:
            ProviderNonsense: it is no JSON.
        """
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ProviderNonsense from error

    @property
    def shown(self) -> Any:
        """The body for the record."""
        return _read_or_cut(self.body) if self.body else None


class Transport(Protocol):
    """How requests reach a provider."""

    def send(self, request: Request, *, timeout_s: float) -> Response:
        """Send one request and return what came back, of any status.

        Raises:
            ProviderAway: the provider was asked nothing.
            ProviderTimeout: it did not answer in time.
            ProviderNonsense: what came back is no HTTP, or larger than anything it should say.
        """
        ...


def json_request(method: str, url: str, *, content: Any = None, **more: Any) -> Request:
    """A request whose body, if it has any, is JSON."""
    body = None if content is None else json.dumps(content, ensure_ascii=False).encode()
    headers = {"Accept": "application/json", **more.pop("headers", {})}
    if body is not None:
        headers["Content-Type"] = "application/json"
    return Request(method=method, url=url, headers=headers, body=body, sent=content, **more)


def _read_or_cut(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return {"unreadable": body[:UNREADABLE_SHOWN_CHARS].decode("utf-8", "replace")}

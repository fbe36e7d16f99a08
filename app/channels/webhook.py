"""Webhooks, signed as the Standard Webhooks specification has it: over id, time and body."""

import http.client
import json
import ssl
import time
from urllib.parse import SplitResult, urlsplit

from ..config import Settings
from ..errors import ChannelError
from ..outbound import DestinationRefused, connect, destinations_of
from ..signing import sign
from .message import Message

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 500
RETRIED = frozenset({408, 409, 425, 429})  # of 4xx: later it may be another answer
URL_CHARS_MAX = 2000


def check_webhook(target: str, settings: Settings) -> str:
    """Refuse what is no URL of a web server; shown of it are scheme and host."""
    url = _split(target)
    if url.scheme == "http" and not settings.private_destinations:
        raise ChannelError("The URL must begin with https://", permanent=True)
    return f"{url.scheme}://{url.hostname}/…"


def send_webhook(target: str, secret: str | None, message: Message, settings: Settings) -> str:
    """POST a message; any answer of 2xx takes it. Redirects are not followed."""
    check_webhook(target, settings)
    url = _split(target)
    timestamp = int(time.time())
    about = {
        "id": str(message.id),
        "type": message.event,
        "tenant": message.tenant,
        "created_at": message.created_at.isoformat(),
    }
    body = json.dumps({**about, **message.payload}).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "opsledger",
        "webhook-id": str(message.id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret or "", str(message.id), timestamp, body),
    }
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    status, answer = _post(url, path, body, headers, settings)
    said = f"{status} {answer}".strip()
    if 200 <= status < 300:
        return said
    raise ChannelError(said, permanent=400 <= status < 500 and status not in RETRIED)


def _split(target: str) -> SplitResult:
    try:
        url = urlsplit(target)
        port_fits = url.port is None or 0 < url.port < 65536
    except ValueError as error:
        raise ChannelError(f"This is not a URL: {error}", permanent=True) from error
    plain = target.isascii() and target.isprintable() and " " not in target
    if url.scheme not in {"http", "https"} or not url.hostname or not (port_fits and plain):
        raise ChannelError("The URL must be of the form https://host/path", permanent=True)
    if url.username or url.password or len(target) > URL_CHARS_MAX:
        raise ChannelError("The URL must have no user and be no longer than 2,000", permanent=True)
    return url


def _post(
    url: SplitResult, path: str, body: bytes, headers: dict[str, str], settings: Settings
) -> tuple[int, str]:
    connection = _Pinned(url, settings)
    try:
        connection.request("POST", path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(ANSWER_BYTES_MAX).decode("utf-8", "replace")
    except DestinationRefused as error:
        raise ChannelError(error.detail, permanent=True) from error
    except (OSError, http.client.HTTPException) as error:
        raise ChannelError(f"No answer: {error!r}", permanent=False) from error
    finally:
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was judged, whatever the name resolves to a moment later."""

    def __init__(self, url: SplitResult, settings: Settings) -> None:
        self._encrypted = url.scheme == "https"
        self._settings = settings
        port = url.port or (443 if self._encrypted else 80)
        super().__init__(url.hostname or "", port, timeout=TIMEOUT_S)

    def connect(self) -> None:
        """Connect, and verify who answers."""
        destinations = destinations_of(self._settings)
        plain = connect(
            *(self.host, self.port, destinations), timeout_s=TIMEOUT_S, plain=not self._encrypted
        )
        if self._encrypted:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(plain, server_hostname=self.host)
        else:
            self.sock = plain

"""HTTP to destinations: guarded pools, bounded answers, and what each status comes to."""

import gzip
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from ..config import Settings
from ..errors import SinkError
from ..outbound import destinations_of
from ..pools import ForbiddenAddress, guarded_pools
from .protocol import Account, tls_context

CONNECT_S = 5.0
ANSWER_S = 15.0  # of one answer in all; well below the lease of a destination
ANSWER_BYTES_MAX = 4 * 1024 * 1024  # that of a bulk names each record
WORDS_CHARS_MAX = 300
URL_CHARS_MAX = 2000
GZIP_LEVEL = 1  # a fifth of the bytes at a tenth of the time of the usual level
CONTENT = frozenset({400, 413, 422})  # about the records
UNSENT = (ConnectTimeoutError, NewConnectionError)  # before anything was sent
UNHEARD = frozenset({502, 504})  # a gateway does not know what the server behind it took
DENIED = frozenset({401, 402, 403, 404, 405, 407, 410, 411, 415})  # about the way they come


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def words(self) -> str:
        """Status and the beginning of its body, for a person."""
        text = self.body[: 2 * WORDS_CHARS_MAX].decode("utf-8", "replace").strip()
        return f"{self.status} {text}"[:WORDS_CHARS_MAX].strip()


def check_address(values: Mapping[str, Any], _: Mapping[str, str], settings: Settings) -> None:
    """Refuse settings whose `url` is none that we would call.

    Raises:
        ValueError: says what it must be.
    """
    check_url(values["url"], settings)


def check_url(text: Any, settings: Settings) -> None:
    """Refuse what is no URL that we would call.

    Raises:
        ValueError: says what it must be.
    """
    url = urlsplit(str(text))
    plain = str(text).isascii() and str(text).isprintable() and " " not in str(text)
    if url.scheme not in {"http", "https"} or not url.hostname or not plain:
        raise ValueError("must be of the form https://host/path")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError("has a port that is none")
    if url.username or url.password or len(str(text)) > URL_CHARS_MAX:
        raise ValueError("must have no user and be no longer than 2,000")
    if url.scheme == "http" and not settings.private_destinations:
        raise ValueError("must begin with https://")


class Poster:
    """Sends to the server of one destination."""

    def __init__(self, account: Account) -> None:
        self._compress = bool(account.values.get("compress"))
        self._pools = guarded_pools(
            destinations_of(account.settings),
            ssl_context=_context_of(account),
        )

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        method: str = "POST",
        compress: bool = True,
    ) -> Answer:
        """Send one request; redirects are not followed.

        Raises:
            SinkError: there is no answer of 2xx; `permanent` and `denied` follow from its status.
        """
        sent = {"User-Agent": "opsledger", **headers}
        if compress and self._compress:
            body = gzip.compress(body, GZIP_LEVEL)
            sent["Content-Encoding"] = "gzip"
        answer = self._send(method, url, body, sent)
        if 200 <= answer.status < 300:
            return answer
        raise refusal(answer)

    def close(self) -> None:
        """Close all connections."""
        self._pools.clear()

    def _send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        deadline = time.monotonic() + ANSWER_S
        try:
            answer = self._pools.urlopen(
                method,
                url,
                body=body,
                headers=dict(headers),
                timeout=urllib3.Timeout(connect=CONNECT_S, read=ANSWER_S),
                redirect=False,
                preload_content=False,
            )
            return _read(answer, deadline)
        except ForbiddenAddress as error:
            raise SinkError(str(error), denied=True) from error
        except SSLError as error:  # of the handshake, or of any byte after it
            refused = "CERTIFICATE_VERIFY_FAILED" in str(error)
            raise SinkError(f"TLS: {_reason(error)}", denied=refused, unsure=not refused) from error
        except HTTPError as error:
            unsure = not isinstance(error, UNSENT)
            raise SinkError(f"No answer: {_reason(error)}", unsure=unsure) from error


def _context_of(account: Account) -> ssl.SSLContext:
    """How TLS is spoken: all that trust public authorities alone share one, since to read these
    keeps the processor, and every other thread, for 20 ms.
    """
    named = account.values.get("ca") or account.values.get("client_certificate")
    return tls_context(account.values, account.secrets) if named else _public_context()


@cache
def _public_context() -> ssl.SSLContext:
    return tls_context({}, {})


def refusal(answer: Answer) -> SinkError:
    """What an answer that is no 2xx comes to."""
    return SinkError(
        answer.words,
        permanent=answer.status in CONTENT,
        denied=answer.status in DENIED or 300 <= answer.status < 400,
        retry_after_s=retry_after_s(answer.headers.get("retry-after")),
        unsure=answer.status in UNHEARD,
    )


def retry_after_s(text: str | None) -> float | None:
    """What Retry-After asks for, in seconds: a number of them, or a date."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _read(answer: urllib3.BaseHTTPResponse, deadline: float) -> Answer:
    body, whole = bytearray(), False
    try:
        while chunk := answer.read1(65_536):
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise SinkError("Its answer is larger than any should be", unsure=True)
            if time.monotonic() > deadline:
                raise SinkError("It did not finish its answer in time", unsure=True)
        whole = True
    finally:
        if not whole:
            answer.close()
        answer.release_conn()
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(answer.status, headers, bytes(body))


def _reason(error: HTTPError) -> str:
    """The error in its own words, without the connection's repr before them."""
    inner = getattr(error, "reason", None)
    return str(inner if isinstance(inner, BaseException) else error).rpartition(">: ")[2][
        :WORDS_CHARS_MAX
    ]

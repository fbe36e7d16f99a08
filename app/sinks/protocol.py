"""What every sink does: take a batch of records, and say which of them it did not take."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from ..config import Settings
from ..domain.forwarding import Destination, Format, Outgoing

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch, all of which was taken but for these.

    Args:
        refused: records that it will never take, each with its words.
        again: records that it did not take now, each with its words.
        words: what it answered, for a person.
    """

    refused: Mapping[UUID, str] = field(default_factory=dict)
    again: Mapping[UUID, str] = field(default_factory=dict)
    words: str = ""


class Sink(Protocol):
    """A way to one destination, which stays open between deliveries.

    Attributes:
        rows_max: records of one delivery.
        bytes_max: bytes of one delivery, as it counts them.
        record_bytes_max: bytes of one record; a larger one is refused without being sent.
    """

    rows_max: int
    bytes_max: int
    record_bytes_max: int

    def deliver(self, records: Sequence[Outgoing]) -> Receipt:
        """Deliver records; when it returns, the destination has those it did not name.

        Raises:
            SinkError: it took none, as far as it said.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One thing that a sink asks to know.

    Args:
        secret: whether it is kept encrypted and never shown.
        kind: text, whole (a number), flag, or choice of `choices`.
        words: what it is, for the documentation of the API.
    """

    name: str
    words: str
    secret: bool = False
    required: bool = False
    kind: str = "text"
    default: Any = None
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a sink needs to open its way: settings and secrets, complete and checked."""

    destination: Destination
    values: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkKind:
    """A kind of sink.

    Args:
        opener: makes one; connects at the first delivery.
        check: refuses values that can never work, by SinkError.
        operator_only: whether it acts on this platform's own hosts.
        pause_s: how long it gathers records before it sends the next, in seconds.
        drops_repeats: whether a batch that is sent twice is there once.
    """

    name: str
    words: str
    opener: Callable[[Account], Sink]
    check: Callable[[Mapping[str, Any], Mapping[str, str], Settings], None]
    asked: tuple[Asked, ...]
    format: Format = Format.NATIVE
    formats: tuple[Format, ...] = tuple(Format)
    operator_only: bool = False
    pause_s: float = 0.0
    drops_repeats: bool = False


TLS_ASKED = (
    Asked(name="ca", words="PEM of who signs its certificate, if that is not public."),
    Asked(
        name="client_certificate", words="PEM of the certificate that we show, its chain behind it."
    ),
    Asked(name="client_key", words="PEM of the key of that certificate.", secret=True),
)
URL = Asked(name="url", words="https://…", required=True)
COMPRESS = Asked(name="compress", words="Whether bodies are gzip.", kind="flag", default=True)


def tls_context(values: Mapping[str, Any], secrets: Mapping[str, str]) -> ssl.SSLContext:
    """How its certificate is judged, and ours shown: TLS 1.2 or later, names verified.

    Raises:
        ValueError: what is given is no certificate, or no key of it.
    """
    try:
        context = ssl.create_default_context(cadata=values.get("ca"))
        if values.get("client_certificate"):
            _show_certificate(context, values["client_certificate"], secrets.get("client_key", ""))
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"certificate or key is not usable: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _show_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """The library reads files alone, so they are one for a moment, in memory if there is such."""
    import os
    import tempfile

    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # nosec B108
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".pem") as file:  # mode 0600
        file.write(f"{key.strip()}\n{certificate.strip()}\n")
        file.flush()
        context.load_cert_chain(file.name)

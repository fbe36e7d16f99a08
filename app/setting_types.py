"""The types of settings: each reads a text, or says by ValueError what it must be."""

import re
from collections.abc import Callable
from dataclasses import field
from ipaddress import ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

SECRET_CHARS_MIN = 32  # 128 bits, if they are random hexadecimal digits
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
REDIS_SCHEMES = ("redis", "rediss", "sentinel")
RABBITMQ_SCHEMES = ("amqp", "amqps")
CLUSTER_SCHEMES = ("sentinel", *RABBITMQ_SCHEMES)  # several servers that stand for one
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})


class InvalidSetting(ValueError):
    """A setting has a value it cannot take."""

    def __init__(self, name: str, value: str, rule: str) -> None:
        shown = re.sub(r"//[^/;]*@", "//***@", value)  # this ends in a log
        super().__init__(f"{name}={shown!r} is not valid: {rule}")


def setting(
    name: str, default: Any, unit: str, reason: str, parse: Callable[[str], Any] = str
) -> Any:
    """A field of a dataclass of settings.

    Args:
        name: of the environment variable.
        unit: what its number counts, or what its text is.
        reason: what it does and why its default is right, for docs/configuration.md.
        parse: reads its text; raises ValueError that says what it must be.
    """
    metadata = {"name": name, "unit": unit, "reason": reason, "parse": parse}
    return field(default=default, metadata=metadata)


def boolean(text: str) -> bool:
    """A yes or a no."""
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("one of 1, 0, true, false, yes, no, on, off")


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """Reads a whole number within bounds."""
    rule = f"a whole number of at least {low}" + (f" and at most {high}" if high else "")

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError as error:
            raise ValueError(rule) from error
        if number < low or (high is not None and number > high):
            raise ValueError(rule)
        return number

    return read


def level(text: str) -> str:
    """The name of a log level."""
    word = text.strip().upper()
    if word not in LOG_LEVELS:
        raise ValueError(f"one of {', '.join(LOG_LEVELS)}")
    return word


def one_of(*words: str) -> Callable[[str], str]:
    """Reads one of some words."""

    def read(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return word

    return read


def secret(text: str) -> str:
    """A secret that is long enough, or none."""
    if text and len(text) < SECRET_CHARS_MIN:
        raise ValueError(f"empty, or at least {SECRET_CHARS_MIN} characters")
    return text


def seconds(text: str) -> float:
    """A time above 0, in seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError("a number of seconds above 0")
    return number


def seconds_or_none(text: str) -> float:
    """A time in seconds, 0 for not at all."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError("a number of seconds, 0 for not at all")
    return number


def networks(text: str) -> tuple[str, ...]:
    """Networks parted by commas, as 10.1.0.0/16; an address alone is one."""
    try:
        return tuple(str(ip_network(one.strip())) for one in text.split(",") if one.strip())
    except ValueError as error:
        raise ValueError(f"networks such as 10.1.0.0/16, parted by commas: {error}") from error


def origins(text: str) -> tuple[str, ...]:
    """Origins parted by commas, as browsers write them: https://app.example.com."""
    given = tuple(one.strip() for one in text.split(",") if one.strip())
    for one in given:
        scheme, host = _split(one)
        written = f"{scheme}://{urlsplit(one).netloc}".lower()
        if scheme not in ("http", "https") or not host or written != one or "@" in one:
            raise ValueError("origins such as https://app.example.com, parted by commas")
    return given


def http_url(text: str) -> str:
    """The address of a service, without credentials; a slash at its end is dropped."""
    scheme, host = _split(text)
    parts = urlsplit(text)
    if text and (
        scheme not in ("http", "https") or not host or "@" in text or parts.query or parts.fragment
    ):
        raise ValueError("http:// or https:// and a host, without credentials")
    return text.rstrip("/")


def read_broker_url(*schemes: str) -> Callable[[str], str]:
    """Reads the URL of a broker, or those of the servers of one, parted by semicolons."""

    def read(text: str) -> str:
        urls = [_split(url) for url in text.split(";")]
        if any(scheme not in schemes or not host for scheme, host in urls):
            raise ValueError(f"starts with {':// or '.join(schemes)}://, and names a host")
        if len(urls) > 1 and urls[0][0] not in CLUSTER_SCHEMES:
            raise ValueError(f"only {', '.join(CLUSTER_SCHEMES)} take several servers")
        if len({scheme for scheme, _ in urls}) > 1:
            raise ValueError("all servers have the same scheme")
        return text

    return read


def place(text: str) -> str:
    """Where objects are: s3://bucket/prefix as such, of a folder its path."""
    parts = urlsplit(text)
    if parts.scheme == "s3":
        if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("s3://bucket/prefix, without credentials")
        return text.rstrip("/")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ValueError("file:/// and the folder's path")
        return unquote(parts.path)
    if "://" in text:
        raise ValueError("s3://bucket/prefix, file:///folder, or the path of a folder")
    return text


def _split(url: str) -> tuple[str, str | None]:
    """Scheme and host of a URL; raises ValueError for a port that is none."""
    parts = urlsplit(url)
    _ = parts.port
    return parts.scheme, parts.hostname


def with_driver(url: str) -> str:
    """Name the driver: hosts hand out postgres:// and postgresql://, SQLAlchemy wants one."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg2://" + url.removeprefix(prefix)
    return url

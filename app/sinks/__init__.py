"""Sinks: where records are forwarded to, one file each, behind one protocol."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..config import Settings
from ..domain.forwarding import Destination
from ..errors import FieldError, InvalidInput
from ..signing import new_secret
from .datadog import DATADOG
from .elasticsearch import ELASTICSEARCH
from .files import FILE
from .otlp import OTLP
from .protocol import Account, Asked, Receipt, Sink, SinkKind
from .s3 import S3
from .splunk import SPLUNK
from .syslog import SYSLOG
from .webhook import WEBHOOK

__all__ = ["SINKS", "Asked", "Receipt", "Sink", "SinkKind", "open_sink", "parted"]

SINKS: dict[str, SinkKind] = {
    kind.name: kind for kind in (WEBHOOK, SYSLOG, ELASTICSEARCH, DATADOG, SPLUNK, OTLP, S3, FILE)
}
TEXT_CHARS_MAX = 4000
PEM_CHARS_MAX = 100_000
PEMS = frozenset({"ca", "client_certificate", "client_key"})


def parted(
    sink: str, given: Mapping[str, Any], settings: Settings, kept: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings and the secrets in what a caller gives a sink.

    Args:
        kept: secrets that stay unless others are given.

    Raises:
        InvalidInput: names every one that is missing, unknown or not usable.
    """
    kind = SINKS[sink]
    asked = {one.name: one for one in kind.asked}
    errors = list(_errors(asked, given, kept or {}))
    if errors:
        raise InvalidInput(*errors)
    values = {
        name: given.get(name, one.default)
        for name, one in asked.items()
        if not one.secret and given.get(name, one.default) is not None
    }
    fresh = {name: given[name] for name, one in asked.items() if one.secret and given.get(name)}
    secrets = {**(kept or {}), **fresh}
    if sink == WEBHOOK.name and "secret" not in secrets:
        secrets["secret"] = new_secret()
    _check(kind, values, secrets, settings)
    return values, secrets


def open_sink(destination: Destination, secrets: Mapping[str, str], settings: Settings) -> Sink:
    """The way to a destination; it connects at its first delivery.

    Raises:
        ValueError: its certificate or key is not usable.
    """
    kind = SINKS[destination.sink]
    values = {one.name: one.default for one in kind.asked if not one.secret}
    account = Account(
        destination=destination,
        values={**values, **destination.settings},
        secrets=secrets,
        settings=settings,
    )
    return kind.opener(account)


def _check(
    kind: SinkKind, values: Mapping[str, Any], secrets: Mapping[str, str], settings: Settings
) -> None:
    whole = {**{one.name: one.default for one in kind.asked}, **values}
    try:
        kind.check(whole, secrets, settings)
    except ValueError as error:
        names = [one.name for one in kind.asked if one.required and not one.secret]
        raise InvalidInput(FieldError(f"settings.{(names or ['url'])[0]}", str(error))) from error


def _errors(
    asked: Mapping[str, Asked], given: Mapping[str, Any], kept: Mapping[str, str]
) -> Iterator[FieldError]:
    known = ", ".join(asked)
    for name in given:
        if name not in asked:
            yield FieldError(f"settings.{name}", f"is not known here; known are {known}")
    for name, one in asked.items():
        value = given.get(name)
        if value is None:
            if one.required and name not in kept:
                yield FieldError(f"settings.{name}", f"is required: {one.words}")
            continue
        rule = _rule(one, value)
        if rule:
            yield FieldError(f"settings.{name}", rule)


def _rule(one: Asked, value: Any) -> str | None:
    """What a value must be, if it is not."""
    if one.kind == "flag":
        return None if isinstance(value, bool) else "must be true or false"
    if one.kind == "whole":
        number = isinstance(value, int) and not isinstance(value, bool)
        fits = number and one.low <= value <= one.high
        return None if fits else f"must be a whole number from {one.low} to {one.high}"
    if one.kind == "choice":
        return None if value in one.choices else f"must be one of {', '.join(one.choices)}"
    most = PEM_CHARS_MAX if one.name in PEMS else TEXT_CHARS_MAX
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        return f"must be a text of 1 to {most} characters"
    plain = one.name in PEMS or value.isprintable()
    return None if plain and "\x00" not in value else "must not have control characters"

"""How values are written on pages: times in the viewer's zone, counts, durations, names."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..domain.identity import format_time

NOTHING = "\N{EN DASH}"
UTC_ZONE = ZoneInfo("UTC")
MASK = re.compile(r"\[(?:redacted|hashed): (.+)\]", re.DOTALL)
WITHHELD = "withheld"
SECONDS_OF = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo | None:
    """The time zone of an IANA name, None if there is none on this host."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def moment_of(text: str) -> datetime:
    """The moment that the API wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)


def write_time(moment: str, zone: str) -> str:
    """A moment to the second in the viewer's zone, always of the same width."""
    return _local(moment, zone).strftime("%b %d, %H:%M:%S")


def write_millis(moment: str) -> str:
    """The milliseconds of a moment."""
    return f".{moment_of(moment).microsecond // 1000:03}"


def write_full_time(moment: str, zone: str) -> str:
    """A moment in full, with its zone."""
    local = _local(moment, zone)
    return f"{local:%a, %d %b %Y, %H:%M:%S}{write_millis(moment)} {local:%Z}"


def write_day(moment: str, zone: str) -> str:
    """The day of a moment in the viewer's zone."""
    return f"{_local(moment, zone):%A, %d %B %Y}"


def write_utc(moment: str) -> str:
    """A moment in UTC, for the hover."""
    return f"{moment_of(moment):%Y-%m-%d %H:%M:%S}{write_millis(moment)} UTC"


def write_ago(moment: str) -> str:
    """How long ago a moment was."""
    seconds = (datetime.now(UTC) - moment_of(moment)).total_seconds()
    return f"{write_span(seconds)} ago" if seconds >= 1 else "now"


def write_span(seconds: float) -> str:
    """A stretch of time in its largest unit."""
    for size, unit in SECONDS_OF:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds * 1000:.0f} ms"


def write_count(number: float | None) -> str:
    """A number with its thousands parted."""
    return NOTHING if number is None else f"{number:,.0f}"


def write_short(number: float | None) -> str:
    """A number in few characters: 1,204 · 12.3k · 4.1M."""
    if number is None:
        return NOTHING
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            scaled = number / (1e3 if unit == "k" else size)
            return f"{scaled:.1f}{unit}" if scaled < 100 else f"{scaled:.0f}{unit}"
    return f"{number:,.0f}"


def write_ms(milliseconds: float | None) -> str:
    """A duration: 87 ms · 1.24 s · 12.4 s · 2.1 min."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.{2 if milliseconds < 10_000 else 1}f} s"
    return f"{milliseconds / 60_000:.1f} min"


def write_size(size: int) -> str:
    """A size in bytes: 812 B · 4.1 MB."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_:
            return f"{size / bytes_:.1f} {unit}"
    return f"{size} B"


def write_percent(share: float) -> str:
    """A share of 1 as a percentage, with as many digits as it needs."""
    percent = share * 100
    if percent in (0, 100):
        return f"{percent:.0f}%"
    return f"{percent:.1f}%" if percent >= 0.1 else "<0.1%"


def write_words(name: str) -> str:
    """A name of the code as words: crm_create becomes “crm create”."""
    return name.replace("_", " ")


def write_json(value: Any) -> str:
    """A JSON value as text."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def write_value(value: Any) -> str:
    """A JSON value in one line."""
    return json.dumps(value, ensure_ascii=False)


def is_masked(value: Any) -> bool:
    """Whether a secret stood here when the record was made."""
    return isinstance(value, str) and MASK.fullmatch(value) is not None


def masked_word(value: str) -> str:
    """What kind of secret stood here, or its keyed hash."""
    found = MASK.fullmatch(value)
    return found.group(1) if found else ""


def is_withheld(value: Any) -> bool:
    """Whether the key of this session may not see what stands here."""
    return isinstance(value, dict) and value.keys() == {WITHHELD}


def hour_after(moment: str) -> str:
    """The moment an hour later, as the API takes it."""
    return format_time(moment_of(moment) + timedelta(hours=1))


def quote_part(text: str) -> str:
    """One part of a path; slashes stay, since ids may have them."""
    return quote(text, safe="/")


def _local(moment: str, zone: str) -> datetime:
    return moment_of(moment).astimezone(zone_named(zone) or UTC_ZONE)


FILTERS: dict[str, Callable[..., Any]] = {
    "time": write_time,
    "millis": write_millis,
    "full_time": write_full_time,
    "day": write_day,
    "utc": write_utc,
    "ago": write_ago,
    "span": write_span,
    "count": write_count,
    "short": write_short,
    "ms": write_ms,
    "percent": write_percent,
    "size": write_size,
    "words": write_words,
    "as_json": write_json,
    "value": write_value,
    "is_masked": is_masked,
    "masked_word": masked_word,
    "is_withheld": is_withheld,
    "hour_after": hour_after,
    "part": quote_part,
}

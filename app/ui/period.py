"""The period that a page is about, and the buckets its charts are drawn in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..domain.identity import format_time

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DEFAULT = "24h"
LENGTHS = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
WORDS = {
    "1h": "last hour",
    "6h": "last 6 hours",
    "24h": "last 24 hours",
    "7d": "last 7 days",
    "30d": "last 30 days",
}
# Up to which length of a period which buckets are asked for, and how many of them make one bar.
STEPS = (
    (2 * HOUR, "minute", 1),
    (6 * HOUR, "minute", 5),
    (25 * HOUR, "minute", 15),
    (8 * DAY, "hour", 1),
    (31 * DAY, "hour", 6),
    (timedelta(days=1400), "day", 1),
)
LATENCY_STEPS = ((6 * HOUR, "minute"), (8 * DAY, "hour"), (timedelta(days=1400), "day"))
UNIT = {"minute": timedelta(minutes=1), "hour": HOUR, "day": DAY}


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time.

    Args:
        name: of a relative period, empty for one that was chosen by its ends.
        until: None for now.
    """

    name: str
    since: datetime
    until: datetime | None

    @property
    def end(self) -> datetime:
        """Where it ends, now if it is open."""
        return self.until or datetime.now(UTC)

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return max(self.end - self.since, timedelta(seconds=1))

    @property
    def words(self) -> str:
        """What a heading calls it."""
        return WORDS.get(self.name, "chosen period")

    @property
    def window(self) -> list[tuple[str, str]]:
        """Its ends, as parameters of the API and of the lists."""
        until = [("until", format_time(self.until))] if self.until else []
        return [("since", format_time(self.since)), *until]

    @property
    def before(self) -> list[tuple[str, str]]:
        """The equally long period before it."""
        start = self.since - self.length
        return [("since", format_time(start)), ("until", format_time(self.since))]

    @property
    def step(self) -> tuple[str, int]:
        """The buckets that its bars are made of, and how many make one."""
        found = next((step for step in STEPS if self.length <= step[0]), STEPS[-1])
        return found[1], found[2]

    @property
    def latency_bucket(self) -> str:
        """The buckets of its percentiles, which cannot be added up."""
        return next((b for longest, b in LATENCY_STEPS if self.length <= longest), "day")

    @property
    def step_seconds(self) -> int:
        """How long one bar is."""
        bucket, number = self.step
        return int((UNIT[bucket] * number).total_seconds())


def read_period(arguments: Mapping[str, str], *, now: datetime | None = None) -> Period:
    """The period of a URL: named, or by its ends; the default where it says neither.

    A relative one starts at a whole minute, of which the rollups have the sum.
    """
    now = now or datetime.now(UTC)
    since, until = (_moment(arguments.get(name, "")) for name in ("since", "until"))
    if since is not None:
        return Period("", since, until if until is None or until > since else None)
    name = arguments.get("period", DEFAULT)
    name = name if name in LENGTHS else DEFAULT
    start = (now - LENGTHS[name]).replace(second=0, microsecond=0)
    return Period(name, start, None)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None

"""When a call is made again, and when a provider is left alone: pure decisions, no clock of their
own. A call is repeated only if that is safe: the provider did nothing, or doing it twice is the
same as once.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from cachetools import TTLCache

from ..errors import PERMANENT_CODES, ProviderAway, ProviderCode, ProviderError
from .messages import Request

TRACKED_MAX = 10_000  # tenant and provider pairs whose failures a process remembers
TRACKED_S = 3600.0  # a pair that was not asked for so long starts anew
RETRY_AFTER_S_MAX = 86_400.0  # what a provider may ask for; more is taken for a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often and how long a call is tried.

    Args:
        attempts_max: of one call, the first included.
        timeout_s: of one attempt, if the tenant's account names no other.
        backoff_s: the longest pause before the second attempt; it doubles from there.
        wait_s_max: the longest pause; a provider that asks for more is not asked again.
        failures_max: in a row, of one tenant at one provider, before it is left alone.
        rest_s: how long it is left alone then.
    """

    attempts_max: int = 3
    timeout_s: float = 10.0
    backoff_s: float = 0.2
    wait_s_max: float = 2.0
    failures_max: int = 10
    rest_s: float = 30.0

    def pause_s(
        self, request: Request, error: ProviderError, attempt: int, chance: float
    ) -> float | None:
        """How long to wait before the next attempt, in seconds; None if there shall be none.

        Args:
            attempt: the number of the one that failed, from 1.
            chance: from 0 to 1; spreads callers that failed together ("full jitter").
        """
        safe = error.untouched or request.repeatable
        if attempt >= self.attempts_max or error.permanent or not safe:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.wait_s_max else None
        return chance * min(self.wait_s_max, self.backoff_s * 2.0 ** (attempt - 1))


@dataclass(slots=True)
class _Track:
    failures: int = 0
    resting_until: float = 0.0
    probing: bool = False


class Breaker:
    """Leaves a provider alone for a while after too many failures in a row, then lets one call try.

    What a provider refuses (a limit, a bad value) is an answer and no failure.
    """

    def __init__(self, policy: Policy, now: Callable[[], float]) -> None:
        self._policy = policy
        self._now = now
        self._lock = threading.Lock()
        self._tracks: TTLCache[object, _Track] = TTLCache(TRACKED_MAX, TRACKED_S, timer=now)

    def admit(self, key: object) -> None:
        """Let a call through.

        Raises:
            ProviderAway: the provider is left alone; it says for how long.
        """
        with self._lock:
            track = self._tracks.get(key)
            if track is None or track.failures < self._policy.failures_max:
                return
            rest_s = track.resting_until - self._now()
            if rest_s <= 0 and not track.probing:
                track.probing = True
                return
        detail = f"The provider failed {track.failures} times in a row and is left alone for now"
        raise ProviderAway(detail, retry_after_s=max(rest_s, 1.0))

    def note(self, key: object, error: ProviderError | None) -> bool:
        """Take note of how a call that was let through ended; says whether it opened now."""
        code = error.code if error else None
        failed = code in (ProviderCode.UNAVAILABLE, ProviderCode.TIMEOUT)
        with self._lock:
            track = self._tracks.get(key)
            if not failed:
                if track is not None:
                    del self._tracks[key]
                return False
            track = track or _Track()
            track.failures += 1
            track.probing = False
            opened = track.failures >= self._policy.failures_max
            if opened:
                track.resting_until = self._now() + self._policy.rest_s
            self._tracks[key] = track
            return opened

    def pass_over(self, key: object) -> None:
        """Learn nothing from a call that was let through, as where the mistake was ours."""
        with self._lock:
            track = self._tracks.get(key)
            if track is not None:
                track.probing = False


def refusal_of_status(
    status: int,
    detail: str,
    *,
    provider_code: str | None = None,
    retry_after: str | None = None,
    field: str | None = None,
) -> ProviderError:
    """What an HTTP status of 400 or more comes to."""
    code = _CODES.get(status)
    if code is None:
        code = ProviderCode.INVALID if status < 500 else ProviderCode.UNAVAILABLE
    return ProviderError(
        detail,
        code=code,
        field=field,
        provider_code=provider_code or str(status),
        retry_after_s=None if code in PERMANENT_CODES else read_retry_after(retry_after),
        untouched=code is ProviderCode.RATE_LIMITED,
    )


_CODES = {
    401: ProviderCode.UNAUTHORIZED,
    403: ProviderCode.UNAUTHORIZED,
    404: ProviderCode.NOT_FOUND,
    408: ProviderCode.TIMEOUT,
    410: ProviderCode.NOT_FOUND,
    423: ProviderCode.UNAVAILABLE,
    425: ProviderCode.UNAVAILABLE,
    429: ProviderCode.RATE_LIMITED,
    504: ProviderCode.TIMEOUT,
}


def read_retry_after(text: str | None) -> float | None:
    """The seconds that a Retry-After header asks for, by number or date; None if it does not."""
    if not text:
        return None
    try:
        wait_s = float(text)
    except ValueError:
        try:
            wait_s = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return None if math.isnan(wait_s) else min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)

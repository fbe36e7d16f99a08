"""How many requests one may make: a sliding window over two counts, pure arithmetic.

What was used is the count of the current window and that share of the last one's which a window
that ends now still covers. Requests that are refused do not count.
"""

import math
from dataclasses import dataclass

WINDOW_S = 60


@dataclass(frozen=True, slots=True)
class Quota:
    """A bound on the requests of one subject.

    Args:
        name: of the policy, as callers are shown it.
        limit: requests in WINDOW_S seconds.
    """

    name: str
    limit: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is left of a quota.

    Args:
        remaining: further requests that would be let in now.
        reset_s: until the current window ends, in seconds.
        retry_after_s: 0 if this request was let in; else how long to wait, in seconds.
    """

    quota: Quota
    remaining: int
    reset_s: int
    retry_after_s: int

    @property
    def allowed(self) -> bool:
        """Whether this request was let in."""
        return self.retry_after_s == 0


@dataclass(slots=True)
class Tally:
    """The requests of one subject: of this process, and of all as far as they are known.

    Args:
        window: the number of the current window since the epoch.
        before: all requests of the window before.
        own: those of the current window that this process let in.
        others: those of the current window that other processes let in, as far as they said so.
    """

    window: int = 0
    before: int = 0
    own: int = 0
    others: int = 0

    def advance(self, now_s: float) -> None:
        """Begin a new window if its time has come."""
        window = int(now_s // WINDOW_S)
        if window > self.window:
            self.before = self.own + self.others if window == self.window + 1 else 0
            self.window, self.own, self.others = window, 0, 0

    def look(self, quota: Quota, now_s: float) -> Verdict:
        """What the quota says of one more request now; counts nothing."""
        self.advance(now_s)
        elapsed_s = now_s - self.window * WINDOW_S
        count = self.own + self.others
        used = count + self.before * max(0.0, 1 - elapsed_s / WINDOW_S)
        remaining = max(0, math.floor(quota.limit - used))
        wait_s = 0 if remaining else self._wait_s(quota.limit, count, elapsed_s)
        return Verdict(quota, remaining, max(1, math.ceil(WINDOW_S - elapsed_s)), wait_s)

    def _wait_s(self, limit: int, count: int, elapsed_s: float) -> int:
        """When one more would be let in, if nobody asked meanwhile."""
        if count < limit:
            fades_s = WINDOW_S * (1 - (limit - 1 - count) / self.before) - elapsed_s
        else:
            fades_s = WINDOW_S * (2 - (limit - 1) / count) - elapsed_s
        return max(1, math.ceil(fades_s))

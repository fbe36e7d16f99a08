"""When a call is made again, and when a provider is left alone."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ProviderAway, ProviderCode, ProviderError, ProviderTimeout
from app.providers.messages import Request
from app.providers.policy import Breaker, Policy, read_retry_after, refusal_of_status

POLICY = Policy(attempts_max=3, backoff_s=0.2, wait_s_max=2.0, failures_max=3, rest_s=30.0)
READ = Request(method="GET", url="https://a.example", repeatable=True)
WRITE = Request(method="POST", url="https://a.example")


@given(
    st.sampled_from([READ, WRITE]),
    st.sampled_from(list(ProviderCode)),
    st.integers(1, 5),
    st.floats(0, 1),
    st.none() | st.floats(0, 100),
    st.booleans(),
)
def test_a_call_is_repeated_only_where_that_is_safe_and_may_help(
    request: Request,
    code: ProviderCode,
    attempt: int,
    chance: float,
    retry_after_s: float | None,
    untouched: bool,
) -> None:
    """Never past the bound, never for longer than a thread may wait, never sooner than asked."""
    error = ProviderError("x", code=code, retry_after_s=retry_after_s, untouched=untouched)
    pause_s = POLICY.pause_s(request, error, attempt, chance)
    if pause_s is not None:
        assert attempt < POLICY.attempts_max
        assert not error.permanent
        assert untouched or request is READ
        assert 0 <= pause_s <= POLICY.wait_s_max
        assert retry_after_s is None or pause_s >= retry_after_s
    else:
        long = retry_after_s is not None and retry_after_s > POLICY.wait_s_max
        unsafe = request is WRITE and not untouched
        assert attempt >= POLICY.attempts_max or error.permanent or unsafe or long


def test_pauses_grow_and_are_spread_by_chance() -> None:
    """Full jitter: from nothing to twice the last bound."""
    error = ProviderTimeout("late")
    patient = Policy(attempts_max=10, backoff_s=0.2, wait_s_max=2.0)
    longest = [patient.pause_s(READ, error, attempt, 1.0) for attempt in range(1, 6)]
    assert longest == [0.2, 0.4, 0.8, 1.6, 2.0]
    assert patient.pause_s(READ, error, 1, 0.0) == 0.0


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        *(("0", 0.0), ("7", 7.0), ("1.5", 1.5), ("-3", 0.0), ("1e9", 86_400.0)),
        *((None, None), ("", None), ("soon", None), ("nan", None), ("inf", 86_400.0)),
    ],
)
def test_retry_after_is_read_as_seconds(text: str | None, wait_s: float | None) -> None:
    """What is no number of seconds asks for nothing."""
    assert read_retry_after(text) == wait_s


def test_retry_after_is_read_as_a_date() -> None:
    """A date that is past asks for nothing more."""
    ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    wait_s = read_retry_after(ahead)
    assert wait_s is not None
    assert 80 < wait_s <= 90
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


@pytest.mark.parametrize(
    ("status", "code", "ours"),
    [
        *((400, "invalid", 400), (401, "unauthorized", 502), (403, "unauthorized", 502)),
        *((404, "not_found", 404), (409, "invalid", 400), (410, "not_found", 404)),
        *((422, "invalid", 400), (429, "rate_limited", 429), (500, "unavailable", 502)),
        *((503, "unavailable", 502), (504, "timeout", 504), (408, "timeout", 504)),
    ],
)
def test_every_status_of_a_provider_comes_to_a_word_of_ours(
    status: int, code: str, ours: int
) -> None:
    """And to a status for our caller, whose key is not what the provider refused."""
    error = refusal_of_status(status, "x", retry_after="3")
    assert (error.code, error.status) == (code, ours)
    assert error.retry_after_s == (None if error.permanent else 3.0)
    assert error.untouched == (status == 429)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(POLICY, clock)


AWAY = ProviderAway()


def test_a_provider_that_fails_in_a_row_is_left_alone_for_a_while(
    breaker: Breaker, clock: Clock
) -> None:
    """Then one call tries it, and the others still wait for what it finds."""
    for opened in (False, False, True):
        breaker.admit("a")
        assert breaker.note("a", AWAY) is opened
    with pytest.raises(ProviderAway, match="3 times") as refusal:
        breaker.admit("a")
    assert refusal.value.retry_after_s == 30.0
    breaker.admit("b")  # another tenant's, or another provider
    clock.now += 31
    breaker.admit("a")
    with pytest.raises(ProviderAway):
        breaker.admit("a")
    breaker.note("a", AWAY)
    with pytest.raises(ProviderAway):
        breaker.admit("a")
    clock.now += 31
    breaker.admit("a")
    breaker.note("a", None)
    for _ in range(5):
        breaker.admit("a")


@pytest.mark.parametrize("code", ["not_found", "invalid", "unauthorized", "rate_limited"])
def test_what_a_provider_refuses_is_no_failure(breaker: Breaker, code: str) -> None:
    """It answered, so it is there; and what failed before is forgotten."""
    for _ in range(2):
        breaker.note("a", AWAY)
    breaker.note("a", ProviderError("no", code=ProviderCode(code)))
    for _ in range(2):
        breaker.note("a", AWAY)
    breaker.admit("a")


def test_a_mistake_of_ours_frees_the_probe(breaker: Breaker, clock: Clock) -> None:
    """Or the provider would be left alone for ever."""
    for _ in range(3):
        breaker.note("a", AWAY)
    clock.now += 31
    breaker.admit("a")
    breaker.pass_over("a")
    breaker.admit("a")

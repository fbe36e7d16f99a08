"""The memory of keys: short while the database answers, longer while it does not."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app import auth
from app.auth import Authenticator, hash_secret
from app.domain.access import Principal, Scope
from app.errors import StoreUnavailable, Unauthenticated

REMEMBER_S = 0.05
SECRET = "ops_live_secret"
PRINCIPAL = Principal(
    key_id=UUID(int=1),
    tenant_id=UUID(int=2),
    tenant_active=True,
    prefix="ops_live",
    scopes=frozenset({Scope.LOGS_WRITE.value}),
    expires_at=None,
    revoked_at=None,
)


@dataclass
class Keys:
    """A database of one key, that can be away or frozen."""

    principal: Principal | None = PRINCIPAL
    away: bool = False
    frozen: threading.Event | None = None
    asked: int = 0
    threads: set[str] = field(default_factory=set)

    @contextmanager
    def unrestricted_unsafe(self) -> Iterator["Keys"]:
        self.asked += 1
        self.threads.add(threading.current_thread().name)
        if self.frozen is not None:
            self.frozen.wait(10)
        if self.away:
            raise StoreUnavailable
        yield self


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    """The database behind the authenticator, and milliseconds for its seconds."""
    monkeypatch.setattr(auth, "find_principal", lambda session, _: session.principal)
    monkeypatch.setattr(auth, "ANSWER_WAIT_S", 0.1)
    monkeypatch.setattr(auth, "AWAY_S", 0.02)
    return Keys()


def authenticator(keys: Keys, stale_s: float = 30.0) -> Authenticator:
    return Authenticator(keys, remember_s=REMEMBER_S, stale_s=stale_s)  # type: ignore[arg-type]


def let_pass(seconds: float = REMEMBER_S) -> None:
    time.sleep(seconds + 0.01)


def test_a_key_is_looked_up_again_once_its_time_is_over(keys: Keys) -> None:
    """And not before."""
    door = authenticator(keys)
    assert [door.principal(SECRET) for _ in range(3)] == [PRINCIPAL] * 3
    assert keys.asked == 1
    let_pass()
    door.principal(SECRET)
    assert keys.asked == 2


def test_a_known_key_is_served_while_the_database_is_away(keys: Keys) -> None:
    """And looked up as soon as it is back."""
    door = authenticator(keys)
    door.principal(SECRET)
    keys.away = True
    let_pass()
    assert door.principal(SECRET) == PRINCIPAL
    keys.away, keys.principal = False, replace(PRINCIPAL, revoked_at=datetime.now(UTC))
    let_pass(auth.AWAY_S)
    with pytest.raises(Unauthenticated):
        door.principal(SECRET)


def test_a_known_key_is_served_while_the_database_is_frozen(keys: Keys) -> None:
    """Only the first who asks waits for it, and not for long."""
    door = authenticator(keys)
    door.principal(SECRET)
    keys.frozen = threading.Event()
    let_pass()
    started = time.monotonic()
    assert door.principal(SECRET) == PRINCIPAL
    assert time.monotonic() - started < 5 * auth.ANSWER_WAIT_S
    started = time.monotonic()
    assert door.principal(SECRET) == PRINCIPAL
    assert time.monotonic() - started < auth.ANSWER_WAIT_S
    keys.principal = None
    keys.frozen.set()
    let_pass(auth.AWAY_S)
    with pytest.raises(Unauthenticated):
        door.principal(SECRET)


def test_a_frozen_database_is_asked_by_few(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many keys must not take every connection of the pool."""
    monkeypatch.setattr(auth, "ANSWER_WAIT_S", 0.001)
    monkeypatch.setattr(auth, "AWAY_S", 0.0)
    door = authenticator(keys)
    secrets = [f"{SECRET}_{number}" for number in range(3 * auth.LOOKUPS_MAX)]
    for secret in secrets:
        door.principal(secret)
    keys.frozen, asked = threading.Event(), keys.asked
    let_pass()
    assert [door.principal(secret) for secret in secrets] == [PRINCIPAL] * len(secrets)
    assert keys.asked == asked + auth.LOOKUPS_MAX
    keys.frozen.set()


def test_at_the_end_of_the_stale_time_a_key_is_no_longer_served(keys: Keys) -> None:
    """It is not refused either: nobody knows."""
    door = authenticator(keys, stale_s=0.1)
    door.principal(SECRET)
    keys.away = True
    let_pass(REMEMBER_S + 0.1)
    with pytest.raises(StoreUnavailable):
        door.principal(SECRET)


def test_without_a_stale_time_the_memory_ends_as_before(keys: Keys) -> None:
    """0 turns it off."""
    door = authenticator(keys, stale_s=0.0)
    door.principal(SECRET)
    keys.away = True
    let_pass()
    with pytest.raises(StoreUnavailable):
        door.principal(SECRET)


@pytest.mark.parametrize("values", [{"revoked_at": 1}, {"expires_at": 1}])
def test_a_key_known_to_be_over_stays_over(keys: Keys, values: dict[str, int]) -> None:
    """Whether or not the database is there."""
    over = {name: datetime.now(UTC) - timedelta(seconds=s) for name, s in values.items()}
    keys.principal = replace(PRINCIPAL, **over)  # type: ignore[arg-type]
    door = authenticator(keys)
    for away in (False, True):
        keys.away = away
        with pytest.raises(Unauthenticated):
            door.principal(SECRET)
        let_pass()


def test_a_key_expires_also_while_the_database_is_away(keys: Keys) -> None:
    """The stale time makes no key live longer than it was made for."""
    keys.principal = replace(PRINCIPAL, expires_at=datetime.now(UTC) + timedelta(seconds=0.1))
    door = authenticator(keys)
    assert door.principal(SECRET)
    keys.away = True
    let_pass(0.1)
    with pytest.raises(Unauthenticated):
        door.principal(SECRET)


def test_an_unknown_key_is_not_called_wrong_while_the_database_is_away(keys: Keys) -> None:
    """It may have been made meanwhile."""
    keys.principal = None
    door = authenticator(keys)
    with pytest.raises(Unauthenticated):
        door.principal(SECRET)
    keys.away = True
    let_pass()
    with pytest.raises(StoreUnavailable):
        door.principal(SECRET)


def test_without_a_thread_the_key_is_served_and_looked_up_later(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host at its limit of threads must not forget who may write."""
    door = authenticator(keys)
    door.principal(SECRET)
    let_pass()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        assert door.principal(SECRET) == PRINCIPAL
    let_pass(auth.AWAY_S)
    door.principal(SECRET)
    assert keys.asked == 2


def test_a_hundred_streams_of_a_key_recheck_it_by_one_look_up(keys: Keys) -> None:
    """They all want to know at once; each learns that it ended."""
    found = authenticator(keys)
    found.recheck(hash_secret(SECRET), REMEMBER_S)
    let_pass()
    keys.frozen = threading.Event()
    before = keys.asked
    ended: list[bool] = []

    def stream() -> None:
        try:
            found.recheck(hash_secret(SECRET), REMEMBER_S)
        except Unauthenticated:
            ended.append(True)

    streams = [threading.Thread(target=stream) for _ in range(100)]
    for one in streams:
        one.start()
    keys.principal = None
    keys.frozen.set()
    for one in streams:
        one.join(10)
    assert len(ended) == 100
    assert keys.asked == before + 1

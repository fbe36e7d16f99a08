"""API keys: from the header X-API-Key to the Principal of the request.

A process remembers a key for a few seconds, so that a lookup is no query, and a revocation is
effective that soon. Only while the database does not answer is a known key served for longer.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import flask
from cachetools import TTLCache

from .domain.access import Principal, Scope
from .domain.quota import WINDOW_S, Verdict
from .errors import Forbidden, QueryTimeout, StoreUnavailable, TooManyRequests, Unauthenticated
from .store.session import Database
from .store.tenants import find_principal
from .telemetry import KEY_LOOKUPS, get_logger

API_KEY_HEADER = "X-API-Key"
KEY_CHARS_MAX = 256
KEYS_REMEMBERED = 10_000
ANSWER_WAIT_S = 1.0  # for the database, before a known key is taken as it was
AWAY_S = 1.0  # until the database is asked again, after it did not answer in time
LOOKUPS_MAX = 8  # at once, of keys known before; a frozen database must not take the whole pool
RECHECKED_S = 3600.0  # until a lock is made anew; far longer than a look-up takes
DOOR = "opsledger-auth"  # the key in Flask's app.extensions
VERDICTS = "_opsledger_verdicts"  # in flask.g
READING = "a key reads its own tenant's logs, thousands of times a day; its use is in last_used_at"
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PRINCIPAL = "_opsledger_principal"  # in flask.g
KEY_DIGEST = "opsledger.key_digest"  # in the WSGI environ, where no header gets: a session's key

View = TypeVar("View", bound=Callable[..., Any])

log = get_logger(__name__)


def hash_secret(secret: str) -> bytes:
    """What is kept of a key: the SHA-256 of its 256 random bits, which need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


class KeyRefused(Unauthenticated):
    """This API key is unknown, expired or revoked.

    Which of the three, a thief need not know.

    Args:
        reason: unknown, expired or revoked.
        principal: whom it spoke for, if it is known.
    """

    def __init__(self, reason: str, principal: Principal | None) -> None:
        super().__init__()
        self.reason = reason
        self.principal = principal


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database said of a key, None that there is none; true enough until `fresh_until`."""

    principal: Principal | None
    fresh_until: float

    @property
    def fresh(self) -> bool:
        """Whether it may be used without asking again."""
        return time.monotonic() < self.fresh_until


class Authenticator:
    """Finds the principal of a key.

    Args:
        database: the web role's.
        remember_s: how long an answer is kept, in seconds; also that there is no such key.
        stale_s: for how many seconds more a key is served while the database does not answer.
    """

    def __init__(self, database: Database, *, remember_s: float, stale_s: float = 0.0) -> None:
        self._database = database
        self._remember_s = remember_s
        self._known: TTLCache[bytes, _Known] = TTLCache(KEYS_REMEMBERED, remember_s + stale_s)
        self._lock = threading.Lock()
        self._asking: dict[bytes, Future[_Known]] = {}
        self._rechecked: TTLCache[bytes, threading.Lock] = TTLCache(KEYS_REMEMBERED, RECHECKED_S)
        self._away_until = 0.0

    def principal(self, secret: str) -> Principal:
        """Who the key speaks for.

        Raises:
            KeyRefused: there is no such key, or it may no longer be used.
            StoreUnavailable: the key is not remembered and the database is away.
        """
        if not 1 <= len(secret) <= KEY_CHARS_MAX:
            raise KeyRefused("unknown", None)
        return self.principal_of(hash_secret(secret))

    def principal_of(self, digest: bytes) -> Principal:
        """Who the key with this digest speaks for; a session of the dashboard keeps no more of it.

        Raises:
            KeyRefused: there is no such key, or it may no longer be used.
            StoreUnavailable: the key is not remembered and the database is away.
        """
        principal, now = self._find(digest), datetime.now(UTC)
        if principal is None:
            raise KeyRefused("unknown", None)
        if not principal.usable_at(now):
            reason = "revoked" if principal.revoked_by(now) else "expired"
            raise KeyRefused(reason, principal)
        return principal

    def recheck(self, digest: bytes, age_s: float) -> None:
        """Make sure that a key is good still, as the database said at most so many seconds ago.

        Raises:
            KeyRefused: it may no longer be used.
            StoreUnavailable: the database is away.
        """
        with self._lock:
            one_at_a_time = self._rechecked.setdefault(digest, threading.Lock())
        with one_at_a_time:  # a key may have a thousand streams, which all want to know at once
            with self._lock:
                known = self._known.get(digest)
            if known is None or known.fresh_until - self._remember_s + age_s < time.monotonic():
                self._look_up(digest)
        self.principal_of(digest)

    def _find(self, digest: bytes) -> Principal | None:
        """Who the key speaks for, or spoke for before it ended; None if there is no such key."""
        with self._lock:
            known = self._known.get(digest)
        outcome = "remembered"
        if known is None or (known.principal is None and not known.fresh):
            known, outcome = self._look_up(digest), "database"  # it may have been made meanwhile
        elif not known.fresh:
            found = self._looked_up_soon(digest)
            known, outcome = (found, "database") if found else (known, "stale")
        KEY_LOOKUPS.labels(outcome).inc()
        return known.principal

    def _look_up(self, digest: bytes) -> _Known:
        with self._database.unrestricted_unsafe() as session:
            principal = find_principal(session, digest)
        known = _Known(principal, time.monotonic() + self._remember_s)
        with self._lock:
            self._known[digest] = known
        return known

    def _looked_up_soon(self, digest: bytes) -> _Known | None:
        """What the database says now; None if it is away, or frozen, or slower than the wait."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return self._ask(digest).result(ANSWER_WAIT_S)
        except (StoreUnavailable, QueryTimeout, TimeoutError) as error:
            self._away_until = time.monotonic() + AWAY_S
            log.warning("database away, known keys are served from memory", error=repr(error))
            return None

    def _ask(self, digest: bytes) -> Future[_Known]:
        """Look a key up in a thread of its own, since a frozen database blocks whoever asks it."""
        with self._lock:
            asked = self._asking.get(digest)
            if asked is not None:
                return asked
            if len(self._asking) >= LOOKUPS_MAX:
                raise StoreUnavailable
            asked = self._asking[digest] = Future()
        try:
            threading.Thread(target=self._answer, args=(digest, asked), daemon=True).start()
        except RuntimeError as error:  # no thread to be had
            self._forget_question(digest)
            raise StoreUnavailable from error
        return asked

    def _answer(self, digest: bytes, asked: Future[_Known]) -> None:
        try:
            known = self._look_up(digest)
        except Exception as error:
            self._forget_question(digest)
            asked.set_exception(error)
        else:
            self._forget_question(digest)
            asked.set_result(known)

    def _forget_question(self, digest: bytes) -> None:
        with self._lock:
            self._asking.pop(digest, None)


@dataclass(frozen=True, slots=True)
class Door:
    """What stands between a request and its view.

    Args:
        authenticator: knows the keys.
        address: tells the address of the current request's caller.
        refused: takes note of a key that was refused: why, whose it is if it is known, the
            caller's address, and the scope or quota that was asked for.
        judge: counts a request of a principal, which writes or only reads, and says what its
            quotas leave.
    """

    authenticator: Authenticator
    address: Callable[[], str | None]
    refused: Callable[[str, Principal | None, str | None, str], None]
    judge: Callable[[Principal, bool], Sequence[Verdict]]


def requires(scope: Scope, *, leaves: str = "", leaves_nothing: str = "") -> Callable[[View], View]:
    """Let a view be called only with a key that has the scope; marks it for the route tests.

    Args:
        leaves: what a call puts on record of itself; or
        leaves_nothing: why it puts nothing on record. A route has to say one of the two.
    """

    def decorate(view: View) -> View:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            authorize(scope)
            return view(*args, **kwargs)

        guarded.__name__, guarded.__doc__ = view.__name__, view.__doc__
        guarded.__dict__.update(view.__dict__)
        guarded.required_scope = scope  # type: ignore[attr-defined]
        guarded.leaves, guarded.leaves_nothing = leaves, leaves_nothing  # type: ignore[attr-defined]
        return cast("View", guarded)

    return decorate


def authorize(scope: Scope, *, counted: bool = True) -> Principal:
    """The request's principal, known from now on as `current_principal`.

    Args:
        counted: whether quotas count it; of a page they count the calls that it makes.

    Raises:
        Unauthenticated: no key, or not a usable one.
        Forbidden: the caller is not in the key's networks, the tenant is inactive or the scope
            missing.
        TooManyRequests: a quota of the key or of its tenant is used up.
    """
    door: Door = flask.current_app.extensions[DOOR]
    principal = _admitted(door)
    if counted:
        _keep_quotas(door, principal)
    if not principal.tenant_active:
        door.refused("inactive", principal, door.address(), "")
        raise Forbidden("This tenant is inactive; its records are kept, its keys are not served")
    setattr(flask.g, PRINCIPAL, principal)
    if scope not in principal.scopes:
        raise lacking(scope, f"This API key lacks the scope {scope}")
    if scope is Scope.ADMIN and not principal.of_operator:
        raise lacking(scope, "Only keys of the operator tenant administer")
    return principal


def lacking(scope: Scope, detail: str) -> Forbidden:
    """The error of a request whose key lacks a scope; that it was refused is on record."""
    door: Door = flask.current_app.extensions[DOOR]
    door.refused("scope", current_principal(), door.address(), scope)
    return Forbidden(detail)


def _admitted(door: Door) -> Principal:
    address = door.address()
    try:
        principal = _identified(door.authenticator)
    except KeyRefused as refusal:
        door.refused(refusal.reason, refusal.principal, address, "")
        raise
    if not principal.usable_from(address):
        door.refused("network", principal, address, "")
        raise Forbidden(f"This API key may not be used from {address or 'an unknown address'}")
    return principal


def key_digest() -> bytes:
    """The digest of the key that the current request came with."""
    digest: bytes | None = flask.request.environ.get(KEY_DIGEST)
    return digest or hash_secret(flask.request.headers.get(API_KEY_HEADER, ""))


def _identified(authenticator: Authenticator) -> Principal:
    """Whose the request's key is, or that of the session it belongs to."""
    digest: bytes | None = flask.request.environ.get(KEY_DIGEST)
    if digest is not None:
        return authenticator.principal_of(digest)
    secret = flask.request.headers.get(API_KEY_HEADER, "")
    if not secret:
        raise Unauthenticated
    return authenticator.principal(secret)


def _keep_quotas(door: Door, principal: Principal) -> None:
    verdicts = door.judge(principal, flask.request.method not in READING_METHODS)
    setattr(flask.g, VERDICTS, verdicts)
    for verdict in verdicts:
        if not verdict.allowed:
            quota = verdict.quota
            door.refused("quota", principal, door.address(), quota.name)
            raise TooManyRequests(
                f"More than {quota.limit} requests in {WINDOW_S} s ({quota.name});"
                f" go on in {verdict.retry_after_s} s",
                verdict.retry_after_s,
            )


def quota_headers() -> dict[str, str]:
    """What the current request's quotas leave, as draft-ietf-httpapi-ratelimit-headers has it."""
    verdicts: Sequence[Verdict] = flask.g.get(VERDICTS, ())
    if not verdicts:
        return {}
    policies = (f'"{v.quota.name}";q={v.quota.limit};w={WINDOW_S}' for v in verdicts)
    taken = all(verdict.allowed for verdict in verdicts)  # what remained was before this request
    left = (f'"{v.quota.name}";r={v.remaining - taken};t={v.reset_s}' for v in verdicts)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def current_principal() -> Principal | None:
    """The principal of the current request, once authorized."""
    principal: Principal | None = flask.g.get(PRINCIPAL)
    return principal


def has_scope(scope: Scope) -> bool:
    """Whether the key of the current request, once authorized, has this scope too."""
    principal = current_principal()
    return principal is not None and scope in principal.scopes

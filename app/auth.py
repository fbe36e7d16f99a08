"""API keys: from the header X-API-Key to the Principal of the request.

A process remembers a key for a few seconds, so that a lookup is no query, and a revocation is
effective that soon.
"""

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import flask
from cachetools import TTLCache

from .domain.access import Principal, Scope
from .errors import Forbidden, Unauthenticated
from .store.session import Database
from .store.tenants import find_principal

API_KEY_HEADER = "X-API-Key"
KEY_CHARS_MAX = 256
KEYS_REMEMBERED = 10_000
PRINCIPAL = "_opsledger_principal"  # in flask.g

View = TypeVar("View", bound=Callable[..., Any])


def hash_secret(secret: str) -> bytes:
    """What is kept of a key: the SHA-256 of its 256 random bits, which need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


class Authenticator:
    """Finds the principal of a key.

    Args:
        database: the web role's.
        remember_s: how long an answer is kept, in seconds; also that there is no such key.
    """

    def __init__(self, database: Database, *, remember_s: float) -> None:
        self._database = database
        self._remembered: TTLCache[bytes, Principal | None] = TTLCache(KEYS_REMEMBERED, remember_s)
        self._lock = threading.Lock()

    def principal(self, secret: str) -> Principal:
        """Who the key speaks for.

        Raises:
            Unauthenticated: there is no such key, or it may no longer be used.
            StoreUnavailable: the key is not remembered and the database is away.
        """
        if not 1 <= len(secret) <= KEY_CHARS_MAX:
            raise Unauthenticated
        digest = hash_secret(secret)
        with self._lock:
            known = digest in self._remembered
            principal = self._remembered.get(digest)
        if not known:
            with self._database.unrestricted_unsafe() as session:
                principal = find_principal(session, digest)
            with self._lock:
                self._remembered[digest] = principal
        if principal is None or not principal.usable_at(datetime.now(UTC)):
            raise Unauthenticated("This API key is unknown, expired or revoked")
        return principal


def requires(scope: Scope) -> Callable[[View], View]:
    """Let a view be called only with a key that has the scope; marks it for the route tests."""

    def decorate(view: View) -> View:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            authorize(scope)
            return view(*args, **kwargs)

        guarded.__name__, guarded.__doc__ = view.__name__, view.__doc__
        guarded.__dict__.update(view.__dict__)
        guarded.required_scope = scope  # type: ignore[attr-defined]
        return cast("View", guarded)

    return decorate


def authorize(scope: Scope) -> Principal:
    """The request's principal, known from now on as `current_principal`.

    Raises:
        Unauthenticated: no key, or not a usable one.
        Forbidden: the tenant is inactive or the scope missing.
    """
    secret = flask.request.headers.get(API_KEY_HEADER, "")
    if not secret:
        raise Unauthenticated
    authenticator: Authenticator = flask.current_app.extensions["opsledger-auth"]
    principal = authenticator.principal(secret)
    if not principal.tenant_active:
        raise Forbidden("This tenant is inactive; its records are kept, its keys are not served")
    if scope not in principal.scopes:
        raise Forbidden(f"This API key lacks the scope {scope}")
    setattr(flask.g, PRINCIPAL, principal)
    return principal


def current_principal() -> Principal | None:
    """The principal of the current request, once authorized."""
    principal: Principal | None = flask.g.get(PRINCIPAL)
    return principal

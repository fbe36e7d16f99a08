"""Who acts, and for whom: an identity that travels by contextvar, and into Celery tasks by headers.

What a record's caller names itself goes before it; it goes before what the request says.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from ..domain.records import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """An identity; what is None is not said.

    Args:
        tenant_id: whose records these are.
        user_id: who really acts.
        acting_for: whose name they act in, if they impersonate somebody.
        operation_id: what their acts belong to.
    """

    tenant_id: UUID | str | None = None
    user_id: str | None = None
    acting_for: str | None = None
    operation_id: str | None = None

    def over(self, other: "Acting") -> "Acting":
        """This identity, with what it does not say from another."""
        names = self.__slots__
        return Acting(**{name: _first(getattr(self, name), getattr(other, name)) for name in names})

    def as_header(self) -> dict[str, str]:
        """What a task's message carries of it."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_header(cls, header: Any) -> "Acting | None":
        """The identity of a message; None if it has none that can be read."""
        if not isinstance(header, Mapping):
            return None
        names = cls.__slots__
        return cls(**{name: str(header[name]) for name in names if header.get(name) is not None})


NOBODY = Acting()
_current: ContextVar[Acting] = ContextVar("opsledger_acting", default=NOBODY)


def current_acting() -> Acting:
    """Who acts here."""
    return _current.get()


@contextmanager
def acting(
    *,
    tenant_id: UUID | str | None = None,
    user_id: str | None = None,
    acting_for: str | None = None,
    operation_id: str | None = None,
) -> Iterator[Acting]:
    """Say who acts in this block, for all its records; blocks within it change what they name.

    >>> with acting(user_id="support@us.example", acting_for="ann@acme.example"):
    ...     change_settings()  # on record with both
    """
    named = Acting(
        tenant_id=tenant_id, user_id=user_id, acting_for=acting_for, operation_id=operation_id
    )
    now = named.over(_current.get())
    token = take_on(now)
    try:
        yield now
    finally:
        lay_down(token)


def take_on(identity: Acting) -> Token[Acting]:
    """Act as this from here on."""
    return _current.set(identity)


def lay_down(token: Token[Acting]) -> None:
    """Act as before."""
    _current.reset(token)


def identified(kind: Kind, values: dict[str, Any]) -> dict[str, Any]:
    """A record's values with what is said of who acts, where they do not say it themselves."""
    who = _current.get()
    if who is NOBODY:
        return values
    given = dict(values)
    given["operation_id"] = _first(given.get("operation_id"), who.operation_id)
    told = {"acting_for": who.acting_for}
    if kind is Kind.AUDIT:
        given["user_id"] = _first(given.get("user_id"), who.user_id)
    else:
        told["user_id"] = who.user_id
    actor = {name: value for name, value in told.items() if value is not None}
    metadata = given.get("metadata")
    if actor and (metadata is None or isinstance(metadata, dict)):
        given["metadata"] = {"actor": actor, **(metadata or {})}
    return given


def _first(given: Any, otherwise: Any) -> Any:
    return given if given is not None else otherwise

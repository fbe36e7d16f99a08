"""What a provider declares of itself: what it can do, what it needs to know, where it is and what
it bears; and how an account at it is checked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from ..domain.accounts import Account
from ..errors import FieldError, InvalidInput
from ..store.session import Database
from .messages import Transport
from .operation import Judge, Operation

TIMEOUT_S_MAX = 60.0
TEXT_CHARS_MAX = 20_000  # a service account's key is the longest there is
BASE_URL, TIMEOUT_S = "base_url", "timeout_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Something that a provider has to be told of an account.

    Args:
        name: its name.
        about: what it is.
        secret: whether it is a credential, and kept encrypted; else it is an option.
        required: whether there is no account without it.
    """

    name: str
    about: str
    secret: bool = True
    required: bool = True


class Opener(Protocol):
    """Makes the object of a provider that serves one operation."""

    def __call__(self, operation: Operation, account: Account, /) -> Any:
        """The provider of the operation's capability."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKind:
    """One provider.

    Args:
        name: as it stands in records.
        openers: for each capability what makes its object; loads what it needs when first called.
        judge: reads the provider's words for a refusal.
        asked: its credentials and options.
        base_url: where it is if an account does not say (`base_url`); empty: in this process, as
        server: makes it, as one tenant reaches it.
        rate_limit: what it bears, by its own documentation.
    """

    name: str
    openers: Mapping[str, Opener]
    judge: Judge
    asked: tuple[Asked, ...] = ()
    base_url: str = ""
    server: Callable[[Database, UUID], Transport] | None = None
    rate_limit: str = "none"

    def parted(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The options and the credentials among the values of an account.

        Raises:
            InvalidInput: names each value that is missing, unknown or of another form.
        """
        errors = [
            FieldError(item.name, "must be given: " + item.about)
            for item in self.asked
            if item.required and item.name not in values
        ]
        options: dict[str, Any] = {}
        credentials: dict[str, str] = {}
        secret = {item.name: item.secret for item in self.asked}
        for name, value in values.items():
            rule = self._rule_broken(name, value, known=name in secret)
            if rule:
                errors.append(FieldError(name, rule))
            elif secret.get(name):
                credentials[name] = value
            else:
                options[name] = value
        if errors:
            raise InvalidInput(*errors)
        return options, credentials

    def _rule_broken(self, name: str, value: Any, *, known: bool) -> str | None:
        if name == TIMEOUT_S:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fits = number and 0 < value <= TIMEOUT_S_MAX
            return None if fits else f"must be a number of seconds up to {TIMEOUT_S_MAX:g}"
        if name == BASE_URL and self.base_url:
            parts = urlsplit(value if isinstance(value, str) else "")
            bare = not (parts.query or parts.fragment or parts.username or parts.password)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and bare
            return None if fits else "must be an address such as https://api.example.com"
        if not known:
            names = [item.name for item in self.asked] + [TIMEOUT_S]
            names += [BASE_URL] if self.base_url else []
            return f"is not known here; known are {', '.join(names)}"
        fits = isinstance(value, str) and 1 <= len(value) <= TEXT_CHARS_MAX
        return None if fits else f"must be a text of 1 to {TEXT_CHARS_MAX} characters"

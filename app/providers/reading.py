"""Reading what providers answer: whatever does not fit a unified resource is the provider's
nonsense, told as such and never as a mistake of ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from ..errors import ProviderNonsense


@contextmanager
def reading() -> Iterator[None]:
    """A block that reads an answer.

    Raises:
        ProviderNonsense: the answer has another form than it should have.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ProviderNonsense(
            f"The provider's answer lacks what it should have: {error!r}"
        ) from error


def moment(text: str) -> datetime:
    """A provider's RFC 3339 time, in UTC.

    Raises:
        ValueError: it is none, or names no zone.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found.astimezone(UTC)

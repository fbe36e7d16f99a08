"""What hypothesis draws from: JSON values, the clean and the dirty, and record identities."""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from app.domain.secret_values import is_card_number

HUGE = 10**400  # far past 64 bits and past every float
MILLISECONDS_MAX = 253402300800000  # the year 10000

clean_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
any_text = st.text(st.characters(exclude_categories=[]))

# One in a hundred integers of some lengths looks like a card's number, which is a secret.
whole_numbers = (st.integers(-HUGE, HUGE) | st.integers(-(2**64), 2**64)).filter(
    lambda number: not is_card_number(str(number))
)
numbers = whole_numbers | st.floats(allow_nan=False, allow_infinity=False)
clean_scalars = st.none() | st.booleans() | numbers | clean_text
dirty_scalars = st.none() | st.booleans() | numbers | st.floats() | any_text


def json_of(
    scalars: st.SearchStrategy[Any], keys: st.SearchStrategy[str]
) -> st.SearchStrategy[Any]:
    """JSON values over given scalars and keys."""
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=20,
    )


json_values = json_of(clean_scalars, clean_text)
json_objects = st.dictionaries(clean_text, json_values, max_size=4)
dirty_values = json_of(dirty_scalars, any_text)

milliseconds = st.integers(0, MILLISECONDS_MAX - 1)


@st.composite
def record_ids(draw: st.DrawFn) -> UUID:
    """Any UUIDv7 whose time a calendar can hold."""
    stamp, low = draw(milliseconds), draw(st.integers(0, 2**80 - 1))
    bits = (stamp << 80) | low
    bits = bits & ~(0xF << 76) | (7 << 76)
    return UUID(int=bits & ~(0b11 << 62) | (0b10 << 62))

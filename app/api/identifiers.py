"""Identifiers in paths: parsed strictly, so that a typo is a 400 and not a 404."""

from uuid import UUID

from werkzeug.routing import BaseConverter, PathConverter

from ..domain.identity import read_uuid
from ..domain.records import IDENTIFIER_CHARS_MAX
from ..errors import FieldError, InvalidInput
from .parsing import UNSTORABLE_RULE, is_storable

UUID_RULE = "must be a UUID, such as 01890a5d-ac96-774b-bcce-b302099a8057"


class RestConverter(PathConverter):
    """The rest of a path, whatever it is; werkzeug's own `path` refuses a leading slash."""

    regex = r"[\s\S]+?"
    part_isolating = False


class ItemConverter(BaseConverter):
    """An id of a provider's, but for the one that is the way to the search beside it."""

    regex = r"(?!search\Z)[^/]+"


def path_uuid(name: str, value: str) -> UUID:
    """The UUID of a path segment.

    Raises:
        InvalidInput: names the segment.
    """
    found = read_uuid(value)
    if found is None:
        raise InvalidInput(FieldError(name, UUID_RULE))
    return found


def path_text(name: str, value: str, chars_max: int = IDENTIFIER_CHARS_MAX) -> str:
    """The text of a path segment.

    Raises:
        InvalidInput: names the segment and the rule.
    """
    if not 1 <= len(value) <= chars_max:
        raise InvalidInput(FieldError(name, f"must have 1 to {chars_max} characters"))
    if not is_storable(value):
        raise InvalidInput(FieldError(name, UNSTORABLE_RULE))
    return value

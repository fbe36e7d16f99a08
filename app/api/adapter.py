"""What the adapter's routes share: a provider for each call, which makes exactly one action log,
and pages by the provider's own cursor.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import flask
import marshmallow as ma
from uuid_utils.compat import uuid7

from ..auth import requires
from ..domain.access import Scope
from ..domain.faults import read_faults
from ..domain.resources import Found
from ..errors import FieldError, InvalidInput
from ..providers import FAULT_HEADER
from ..providers.protocols import Capability
from .fields import Timestamp, text, whole_number
from .paging import next_link
from .parsing import View
from .service import current_service, current_tenant

ITEMS_MAX = 100  # of one page; providers rarely give more
CURSOR_CHARS_MAX = 2_000  # Google's page tokens are long
OPERATION_HEADER = "X-Operation-ID"
PROPERTIES = {"description": "What has no field of its own."}

P = TypeVar("P")
R = TypeVar("R")

Page = tuple[list[Any], int, dict[str, str]]


def operates(action_type: str) -> Callable[[View], View]:
    """Decorator of a view: it needs the adapter's scope, and makes records of this action type."""
    guard = requires(
        Scope.ADAPTER_USE, leaves="one action log, and one for each attempt made again"
    )

    def decorate(view: View) -> View:
        guarded = guard(view)
        guarded.action_type = action_type  # type: ignore[attr-defined]
        return guarded

    return decorate


@contextmanager
def operating(capability: Capability[P]) -> Iterator[P]:
    """The caller's provider of a capability, for the one operation that the view is for.

    The operation is on record once the block has ended, whatever came of it.
    """
    view: Any = flask.current_app.view_functions[flask.request.endpoint or ""]
    operation_id = str(uuid7())
    flask.g.operation_id = operation_id
    with current_service().providers.operate(
        capability,
        current_tenant(),
        view.action_type,
        operation_id=operation_id,
        script=_script(),
    ) as provider:
        yield provider


def name_operation(response: flask.Response) -> flask.Response:
    """After a request: tell the caller under which id its operation is on record."""
    operation_id = flask.g.get("operation_id")
    if operation_id is not None:
        response.headers[OPERATION_HEADER] = operation_id
    return response


def page_of(found: Found[Any]) -> Page:
    """The answer of a list, whose Link header leads on if there is more."""
    headers = {"Link": next_link(found.next)} if found.next is not None else {}
    return found.items, 200, headers


def _script() -> Any:
    given = flask.request.headers.get(FAULT_HEADER)
    if given is None:
        return None
    try:
        return read_faults(given)
    except ValueError as error:
        raise InvalidInput(FieldError(FAULT_HEADER, str(error))) from error


class ChangesSchema(ma.Schema):
    """Fields to be changed; at least one."""

    @ma.validates_schema
    def check_not_empty(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a change of nothing."""
        if not data:
            known = ", ".join(sorted(self.fields))
            raise ma.ValidationError(f"Must set at least one of: {known}.")


class KeptSchema(ma.Schema):
    """What every resource has."""

    id = ma.fields.String(required=True)
    provider = ma.fields.String(required=True)
    created_at = Timestamp(required=True)


class ListQuery(ma.Schema):
    """A page."""

    limit = whole_number(1, ITEMS_MAX, load_default=50)
    after = text(
        1, CURSOR_CHARS_MAX, load_default=None, metadata={"description": "From the Link header."}
    )


class SearchQuery(ListQuery):
    """A page of what holds a text."""

    q = text(1, 200, required=True, metadata={"description": "In any text field, in any case."})


def texts(chars_max: int, items_max: int, **kwargs: Any) -> ma.fields.List[str]:
    """A list of short texts."""
    return ma.fields.List(text(1, chars_max), validate=ma.validate.Length(max=items_max), **kwargs)


def addresses(items_max: int, items_min: int = 0, **kwargs: Any) -> ma.fields.List[str]:
    """A list of email addresses."""
    return ma.fields.List(
        ma.fields.Email(validate=ma.validate.Length(max=320)),
        validate=ma.validate.Length(items_min, items_max),
        **kwargs,
    )

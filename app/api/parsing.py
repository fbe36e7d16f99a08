"""Parsing at the door: strict, and every complaint names the field and what is allowed."""

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar, cast

import flask
import marshmallow as ma
from flask_smorest import Blueprint as SmorestBlueprint
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from ..domain.cleaning import DEPTH_MAX
from ..domain.paths import read_path
from ..errors import FieldError, InvalidInput
from .declared import declare_problems
from .fields import Paths

UNKNOWN = "Unknown field."  # marshmallow's own words, which do not say what is known
View = TypeVar("View", bound=Callable[..., Any])

NAME_SHOWN_CHARS = 100
UNSTORABLE_RULE = "must not contain NUL or lone surrogates"
DIGITS_RULE = f"must not have an integer of more than {sys.get_int_max_str_digits()} digits"
QUERY_BYTES_MAX = 6_000  # with a path of ours it fits into the request line of gunicorn, 8,190
DEPTH_RULE = f"must not be nested deeper than {DEPTH_MAX} levels"


class NoParameters(ma.Schema):
    """The parameters of a view that takes none."""


class StrictParser(FlaskParser):
    """A webargs parser that refuses what it does not know and answers with 400."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {"query": ma.RAISE, "json": ma.RAISE}  # noqa: RUF012

    def load_querystring(self, req: flask.Request, schema: ma.Schema) -> Any:
        """The query parameters; one that is no list may be given once."""
        if len(req.query_string) > QUERY_BYTES_MAX:
            raise InvalidInput(FieldError("query", f"must have at most {QUERY_BYTES_MAX} bytes"))
        errors: list[FieldError] = []
        arguments: MultiDict[str, Any] = MultiDict()
        for name, values in req.args.lists():
            field = _field_of(name, schema)
            try:
                _refuse_malformed(name, values, field)
                if isinstance(field, Paths):
                    arguments.add(str(field.data_key), read_path(name, values[0]))
                else:
                    arguments.setlist(name, values)
            except InvalidInput as error:
                errors += error.errors
        if errors:
            raise InvalidInput(*errors)
        return MultiDictProxy(arguments, schema)

    def load_json(self, req: flask.Request, schema: ma.Schema) -> Any:
        """The JSON body, as RFC 8259 has it: UTF-8, no NaN, no Infinity, no name twice."""
        require_json(req)
        value = parse_json(req.get_data())
        if not isinstance(value, list if schema.many else dict):
            rule = f"must be a JSON {'array' if schema.many else 'object'}"
            raise InvalidInput(FieldError("body", rule))
        refuse_unstorable(value)
        return value

    def handle_error(
        self,
        error: ma.ValidationError,
        req: flask.Request,
        schema: ma.Schema,
        *,
        error_status_code: int | None,
        error_headers: Any,
    ) -> NoReturn:
        """Turn marshmallow's tree of messages into a flat list of fields."""
        messages: Any = error.messages
        located = messages.values() if isinstance(messages, dict) else [messages]
        errors = [found for part in located for found in _flatten(part, "", schema)]
        raise InvalidInput(*errors) from error


class Blueprint(SmorestBlueprint):  # type: ignore[misc]
    """A flask-smorest blueprint whose arguments are parsed strictly."""

    ARGUMENTS_PARSER = StrictParser()

    def route(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Decorator: serve a view at a rule, and document it with the problems it can answer."""
        serve = cast("Callable[[View], View]", super().route(rule, **options))

        def decorate(view: View) -> View:
            declare_problems(view, rule, frozenset(options.get("methods", ("GET",))))
            return serve(view)

        return decorate

    def arguments(self, schema: Any, **options: Any) -> Callable[[View], View]:
        """Decorator: parse the query or the body by a schema, as the view's first argument."""
        return cast("Callable[[View], View]", super().arguments(schema, **options))

    def doc(self, **words: Any) -> Callable[[View], View]:
        """Decorator: add to what OpenAPI says of a view."""
        return cast("Callable[[View], View]", super().doc(**words))

    def no_query(self) -> Callable[[View], View]:
        """Decorator: refuse any query parameter, as a view with arguments refuses unknown ones."""
        return self.arguments(NoParameters, location="query", as_kwargs=True)

    def alt_response(self, status: int, **words: Any) -> Callable[[View], View]:
        """Decorator: document a further answer."""
        return cast("Callable[[View], View]", super().alt_response(status, **words))

    def response(self, status: int, schema: Any = None, **options: Any) -> Callable[[View], View]:
        """Decorator: serialize what the view returns by a schema."""
        return cast("Callable[[View], View]", super().response(status, schema, **options))


def _field_of(name: str, schema: ma.Schema) -> Any:
    """The field that a query parameter is for, if there is one."""
    all_paths = (field for field in schema.fields.values() if isinstance(field, Paths))
    paths = next((field for field in all_paths if name.startswith(field.prefix)), None)
    return paths or schema.fields.get(name)


def _refuse_malformed(name: str, values: list[str], field: Any) -> None:
    errors = []
    if len(values) > 1 and field is not None and not isinstance(field, ma.fields.List):
        errors.append(FieldError(name, "may be given only once"))
    if not name:
        errors.append(FieldError("query", "must not have a parameter without a name"))
    elif any(not is_storable(value) for value in (name, *values)):
        errors.append(FieldError(name.replace("\x00", "\ufffd"), UNSTORABLE_RULE))
    if errors:
        raise InvalidInput(*errors)


def require_json(request: flask.Request) -> None:
    """Refuse a body that does not say it is JSON.

    Raises:
        UnsupportedMediaType: it says it is something else, or nothing.
    """
    if not request.is_json:
        raise UnsupportedMediaType("The body must be JSON: Content-Type: application/json")


def parse_json(body: bytes) -> Any:
    """The value of a JSON text as RFC 8259 has it: UTF-8, no NaN, no Infinity, no name twice.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_distinct,
        )
    except RecursionError as error:
        raise InvalidInput(FieldError("body", DEPTH_RULE)) from error
    except ValueError as error:
        if "sys.set_int_max_str_digits" in str(error):  # the advice is not for the caller
            raise InvalidInput(FieldError("body", DIGITS_RULE)) from error
        raise InvalidInput(FieldError("body", f"is not valid JSON: {error}")) from error


def is_storable(value: str) -> bool:
    """Whether Postgres can hold the text."""
    return "\x00" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


def refuse_unstorable(value: Any) -> None:
    """Refuse a JSON value that holds text Postgres cannot, or is nested too deeply.

    Raises:
        InvalidInput: names every place.
    """
    errors = [FieldError(path, UNSTORABLE_RULE) for path in _unstorable(value, "", 0)]
    if errors:
        raise InvalidInput(*errors)


def _unstorable(value: Any, path: str, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        if not is_storable(value):
            yield path or "body"
    elif depth >= DEPTH_MAX and isinstance(value, dict | list):
        raise InvalidInput(FieldError("body", DEPTH_RULE))
    elif isinstance(value, dict):
        for key, item in value.items():
            if not is_storable(key):
                yield path or "body"
            yield from _unstorable(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unstorable(item, f"{path}[{index}]", depth + 1)


def _flatten(messages: Any, path: str, schema: ma.Schema) -> Iterator[FieldError]:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            name = f"{path}.{key}" if path and not isinstance(key, int) else path or str(key)
            yield from _flatten(inner, "body" if name == "_schema" else name, schema)
    else:
        for message in messages if isinstance(messages, list) else [messages]:
            names = sorted(field.data_key or name for name, field in schema.fields.items())
            known = f"known are {', '.join(names)}" if names else "none is"
            text = f"is not known here; {known}" if message == UNKNOWN else str(message)
            yield FieldError(path or "body", text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of two values under one name, Python would drop the first without a word."""
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    names = Counter(name for name, _ in pairs)
    twice = names.most_common(1)[0][0]
    raise ValueError(f"an object has the name {twice[:NAME_SHOWN_CHARS]!a} twice")


def _finite(text: str) -> float:
    """A float; JSON can write 1e400, which neither Python nor Postgres could give back."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is beyond the range of a number")
    return number

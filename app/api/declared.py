"""The answers that a route can give besides the good one, as OpenAPI has them: they follow from its
rule, its methods and the scope it asks for, so that none is forgotten.
"""

import http
from collections.abc import Callable, Iterator
from typing import Any

from ..domain.access import Scope

ALWAYS = (400, 401, 403, 429, 503)  # bad input, no key, no right to, too often, away
WITH_BODY = (413, 415)
WRITING = frozenset({"POST", "PUT", "PATCH"})
OF_ADAPTER = (404, 502, 504)  # what a provider can come to


def declare_problems(view: Callable[..., Any], rule: str, methods: frozenset[str]) -> None:
    """Add a view's problems to what flask-smorest notes of it, but for statuses it has already."""
    noted: dict[str, Any] = view.__dict__.setdefault("_apidoc", {}).setdefault("response", {})
    responses = noted.setdefault("responses", {})
    for status in sorted(set(_statuses(view, rule, methods))):
        responses.setdefault(status, [http.HTTPStatus(status).name])


def path_uuid_parameter(name: str) -> dict[str, Any]:
    """How OpenAPI has a path segment that is a UUID."""
    return {"in": "path", "name": name, "schema": {"type": "string", "format": "uuid"}}


def _statuses(view: Any, rule: str, methods: frozenset[str]) -> Iterator[int]:
    scope = getattr(view, "required_scope", None)
    if scope is None:
        return
    yield from ALWAYS
    if "<" in rule or scope is Scope.ADMIN:
        yield 404
    if methods & WRITING:
        yield from WITH_BODY
        if scope is Scope.ADMIN:
            yield 409
    if scope is Scope.ADAPTER_USE:
        yield from OF_ADAPTER

"""Google's own discovery documents, as its client ships them: what requests and answers may be."""

import json
import re
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

GLOBAL = {"alt", "fields", "key", "prettyPrint", "quotaUser"}
TYPES = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "array": list,
    "any": object,
}


class Discovery:
    """One API by its discovery document."""

    def __init__(self, name: str) -> None:
        documents = files("googleapiclient.discovery_cache") / "documents"
        self._document = json.loads((documents / f"{name}.json").read_text())
        self._methods = list(_methods(self._document))

    def match(self, method: str, path: str) -> tuple[str, dict[str, Any], dict[str, str]]:
        """The documented method that a request is, its description, and what its path names.

        Raises:
            AssertionError: there is none.
        """
        for described in self._methods:
            form = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(described["path"]))
            found = re.fullmatch(form, path)
            if described["httpMethod"] == method and found:
                named = {name: unquote(value) for name, value in found.groupdict().items()}
                return described["id"], described, named
        raise AssertionError(f"Google has no {method} {path}")

    def check_query(self, described: dict[str, Any], query: dict[str, list[str]]) -> None:
        """Every parameter is documented, given once unless it repeats, and of its type."""
        for name, values in query.items():
            if name in GLOBAL:
                continue
            parameter = described["parameters"].get(name)
            assert parameter, f"{described['id']} has no parameter {name}"
            assert parameter["location"] == "query"
            assert len(values) == 1 or parameter.get("repeated")
            for value in values:
                if parameter["type"] == "integer":
                    low = int(parameter.get("minimum", 0))
                    high = int(parameter.get("maximum", 2**31))
                    assert low <= int(value) <= high, f"{name}={value}"
                if parameter["type"] == "boolean":
                    assert value in {"true", "false"}
                if "enum" in parameter:
                    assert value in parameter["enum"], f"{name}={value}"

    def check(self, schema: dict[str, Any], value: Any, where: str) -> None:
        """A value is of a schema, and has nothing that the schema has not."""
        if "$ref" in schema:
            schema = self._document["schemas"][schema["$ref"]]
        assert isinstance(value, TYPES[schema["type"]]), f"{where}: {value!r}"
        if schema["type"] == "array":
            for item in value:
                self.check(schema["items"], item, f"{where}[]")
        if schema["type"] == "object" and "properties" in schema:
            for name, item in value.items():
                assert name in schema["properties"], f"{where}: no {name}"
                if item is not None:  # null empties a field
                    self.check(schema["properties"][name], item, f"{where}.{name}")


def _methods(part: dict[str, Any]) -> Any:
    yield from part.get("methods", {}).values()
    for resource in part.get("resources", {}).values():
        yield from _methods(resource)

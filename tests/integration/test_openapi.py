"""The API's own description: valid, complete, true to what is served, and without other hosts."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from app.api import BASE
from app.config import load_settings
from app.domain.access import Scope
from app.domain.records import BUILTIN_ACTION_TYPES
from app.store.session import Database
from tests.support.household import Household, furnish
from tests.support.world import Inhabitant, opened, problem_of, refused_fields


@pytest.fixture(scope="module")
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    """A database of these tests alone: rules are evaluated for all tenants there are."""
    return own_environment


@pytest.fixture(scope="module")
def maintenance(own_maintenance: Database) -> Database:
    """All tenants of that database."""
    return own_maintenance


@pytest.fixture(scope="module")
def house(
    environment: dict[str, str], maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Household]:
    """A tenant with one of everything."""
    data_dir = tmp_path_factory.mktemp("openapi")
    with opened(replace(load_settings(environment), data_dir=data_dir), maintenance) as world:
        yield furnish(world)


@pytest.fixture(scope="module")
def document(house: Household) -> dict[str, Any]:
    """The OpenAPI document as it is served, to anybody."""
    response = house.who.client.get("/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json
    return found


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, with a reference at its top followed."""
    if "$ref" in part:
        for name in part["$ref"].removeprefix("#/").split("/"):
            document = document[name]
        return document
    return part


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of every documented operation, parameters joined."""
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method, operation in item.items():
            if method != "parameters":
                joined = [
                    resolved(document, p) for p in (*shared, *operation.get("parameters", []))
                ]
                yield path, method.upper(), {**operation, "parameters": joined}


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    """By the validator of the specification itself."""
    assert document["openapi"].startswith("3.1")
    errors = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert errors == []


def test_every_route_of_the_api_is_documented(house: Household, document: dict[str, Any]) -> None:
    """And nothing is documented that is not served."""
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in house.who.client.application.url_map.iter_rules()
        if rule.rule.startswith((BASE, "/v1/"))
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, method, _ in operations(document)} == served


def test_allow_names_the_methods_that_are_documented(
    house: Household, document: dict[str, Any]
) -> None:
    """Also where the path of a search looks like that of a contact, say."""
    documented: dict[str, set[str]] = {}
    for path, method, _ in operations(document):
        documented.setdefault(path, {"HEAD", "OPTIONS"}).add(method)
    for path, methods in documented.items():
        answer = house.who.client.options(path.format(**house.path_values))
        allowed = set(answer.headers["Allow"].split(", "))
        assert allowed | {"HEAD"} == methods | {"HEAD"}, path


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    """A summary, an id of its own, answers, and what errors look like."""
    names = []
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"].strip(), where
        names.append(operation.get("operationId", where))
        success = [status for status in operation["responses"] if status.startswith("2")]
        assert len(success) == 1, where
        failures = operation["responses"].keys() - set(success)
        assert {"400", "503"} <= failures, where
        keyed = operation.get("security") != []
        assert ({"401", "403", "429"} <= failures) == keyed, where
        assert ("404" in failures) >= ("{" in path), where
        assert ({"413", "415"} <= failures) == (method in {"POST", "PATCH", "PUT"}), where
        for status in failures:
            failure = resolved(document, operation["responses"][status])
            assert "Problem" in str(failure["content"]), where
            assert "application/problem+json" in failure["content"], where
    assert len(set(names)) == len(names)


def test_the_key_is_documented(document: dict[str, Any]) -> None:
    """Where it goes, for every operation."""
    (name,) = document["components"]["securitySchemes"]
    scheme = document["components"]["securitySchemes"][name]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
    assert document["security"] == [{name: []}]


def known_parameters(tenant: Inhabitant, path: str, method: str) -> set[str]:
    """The query parameters that the service itself says it knows when it is asked for another."""
    response = tenant.client.open(f"{path}?zzz=1", method=method, headers=tenant.headers)
    said = refused_fields(response)["zzz"]
    return set(filter(None, said.partition("known are ")[2].split(", ")))


def test_every_parameter_is_documented_as_it_is_taken(
    house: Household, document: dict[str, Any]
) -> None:
    """What the service accepts by its own word, and no other; path parameters too."""
    with_query = 0
    for path, method, operation in operations(document):
        by_place: dict[str, set[str]] = {"query": set(), "path": set()}
        for parameter in operation["parameters"]:
            by_place[parameter["in"]].add(parameter["name"])
            assert parameter["in"] != "path" or parameter["required"]
        assert by_place["path"] == set(re.findall(r"{(\w+)}", path))
        filled = path.format(**house.path_values) if by_place["path"] else path
        known = known_parameters(house.asker(path), filled, method)
        assert by_place["query"] == known, f"{method} {path}"
        with_query += bool(known)
    assert with_query >= 7


def test_ids_that_have_to_be_uuids_are_documented_so(
    house: Household, document: dict[str, Any]
) -> None:
    """What refuses another form says by its schema which one it takes."""
    refusing = 0
    for path, method, operation in operations(document):
        for parameter in operation["parameters"]:
            if parameter["in"] != "path":
                continue
            name = parameter["name"]
            filled = path.format(**{**house.path_values, name: "no-uuid"})
            answer = house.asker(path).client.open(
                filled, method=method, headers=house.asker(path).headers, json={}
            )
            is_uuid = answer.status_code == 400 and any(
                (error["field"], "UUID" in error["detail"]) == (name, True)
                for error in answer.json.get("errors", ())
            )
            refusing += is_uuid
            assert (parameter["schema"].get("format") == "uuid") >= is_uuid, f"{method} {path}"
    assert refusing >= 10


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/alerts/rules", {"kind": "action", "figure": "count", "threshold": 1, "window_s": 60}),
        ("/alerts/channels", {"kind": "webhook", "target": "https://example.com/"}),
        ("/views", {"log": "actions", "query": ""}),
    ],
)
def test_a_name_that_is_taken_is_a_conflict_and_documented(
    house: Household, document: dict[str, Any], path: str, body: dict[str, Any]
) -> None:
    """To make another of the name, and to give one the name of another."""
    first, second = ({**body, "name": f"taken {number} {path}"} for number in range(2))
    assert house.who.post(BASE + path, json=first).status_code == 201
    problem_of(house.who.post(BASE + path, json=first), 409)
    assert "409" in document["paths"][BASE + path]["post"]["responses"]
    changed = [one for one in document["paths"] if re.fullmatch(rf"{BASE}{path}/{{\w+}}", one)]
    (one,) = changed
    if "patch" in document["paths"][one]:
        other = house.who.post(BASE + path, json=second).json["id"]
        renamed = house.who.patch(f"{BASE}{path}/{other}", json={"name": first["name"]})
        problem_of(renamed, 409)
        assert "409" in document["paths"][one]["patch"]["responses"]


def test_the_bounds_of_parameters_are_documented(document: dict[str, Any]) -> None:
    """A reader need not find them by error."""
    schemas = {
        (path, parameter["name"]): parameter["schema"]
        for path, method, operation in operations(document)
        if method == "GET"
        for parameter in operation["parameters"]
    }

    def bounds(path: str, name: str, *keys: str) -> list[Any]:
        return [schemas[BASE + path, name].get(key) for key in keys]

    integer = ("minimum", "maximum", "default")
    assert bounds("/logs/actions", "limit", *integer) == [1, 1000, 100]
    assert bounds("/logs/actions", "skip", *integer) == [0, 10_000, 0]
    assert bounds("/logs/audits/resource/{resource_type}/{resource_id}", "limit", *integer) == [
        *(1, 500, 100)
    ]
    assert bounds("/logs/actions/failed/recent", "minutes", *integer) == [1, 1440, 60]
    assert bounds("/logs/actions/failed/recent", "limit", *integer) == [1, 100, 50]
    assert bounds("/logs/actions", "operation_id", "minLength", "maxLength") == [1, 255]
    assert schemas[f"{BASE}/logs/actions", "since"]["format"] == "date-time"
    for name in ("action_type", "status", "provider_name"):
        assert schemas[f"{BASE}/logs/actions", name]["type"] == "array"


def test_every_answer_fits_its_documented_schema(
    house: Household, document: dict[str, Any]
) -> None:
    """Real answers against the schemas, as a generated client would read them."""
    registry = Registry().with_resource(
        "urn:openapi", Resource.from_contents(document, default_specification=DRAFT202012)
    )

    def check(schema: Any, value: Any) -> None:
        checker = FormatChecker()
        validator = Draft202012Validator(
            absolute(schema), registry=registry, format_checker=checker
        )
        assert [error.message for error in validator.iter_errors(value)] == []

    checked = 0
    for path, method, operation in operations(document):
        if method != "GET":
            continue
        filled = path.format(**house.path_values)
        response = house.asker(path).get(filled, query_string=house.needed(path))
        documented = operation["responses"]["200"]["content"]
        if "text/event-stream" in documented:
            response.close()
            continue  # tests/integration/test_stream.py reads it
        if "application/json" not in documented:  # a file; of a link, if it is signed
            assert response.status_code == 400 or response.mimetype in documented, path
            continue
        assert response.json is not None, path
        content = documented["application/json"]
        check(content["schema"], response.json)
        bad = house.asker(path).get(f"{filled}?limit=0&zzz=1")
        failure = resolved(document, operation["responses"]["400"])
        if bad.status_code == 400:
            check(next(iter(failure["content"].values()))["schema"], bad.json)
        checked += 1
    assert checked >= 10


def absolute(schema: Any) -> Any:
    """A schema whose references name the document they are in."""
    if isinstance(schema, dict):
        return {
            key: f"urn:openapi{value}" if key == "$ref" else absolute(value)
            for key, value in schema.items()
        }
    return [absolute(item) for item in schema] if isinstance(schema, list) else schema


class References(HTMLParser):
    """What a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href", "action"}]


def test_the_documentation_page_and_all_it_loads_are_served_here(house: Household) -> None:
    """Also behind a firewall that lets nothing out."""
    client = house.who.client
    page = client.get("/docs")
    assert page.status_code == 200
    assert page.content_type.startswith("text/html")
    references = References()
    references.feed(page.text)
    loaded = [reference for reference in references.found if not reference.startswith("data:")]
    assert len(loaded) >= 3
    for reference in loaded:
        assert re.match(r"/(?!/)", reference), f"{reference} is another host's"
        answer = client.get(reference)
        assert answer.status_code == 200
        expected = {"css": "text/css", "js": "javascript"}[
            reference.partition("?")[0].rpartition(".")[2]
        ]
        assert expected in answer.content_type


def test_the_documentation_asks_no_other_host_for_anything(house: Household) -> None:
    """No address in the page, its script or its style but our own."""
    client = house.who.client
    for path in ("/docs", "/static/docs.js"):
        text = client.get(path).text
        assert re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", text) == []
    style = client.get("/static/vendor/swagger-ui/swagger-ui.css").text
    outside = [url for url in re.findall(r"url\(([^)]*)\)", style) if "data:" not in url]
    assert outside == []
    assert "@import" not in style


def test_the_enumerations_of_the_contract_are_complete() -> None:
    """26 action types and the scopes that routes name."""
    assert len(BUILTIN_ACTION_TYPES) == len(set(BUILTIN_ACTION_TYPES)) == 26
    assert {"logs:read", "adapter:use", "logs:write", "admin"} <= {str(scope) for scope in Scope}

"""A bad body is always a problem that names the field and what is allowed, never a 5xx."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.service import SERVICE
from app.config import load_settings
from app.store.session import Database
from tests.support.world import Inhabitant, opened, problem_of, refused_fields

CONTACTS = "/api/v1/crm/contacts"
UNSTORABLE = "must not contain NUL or lone surrogates"
UNKNOWN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"

many_examples = settings(deadline=None, max_examples=300)


@pytest.fixture(scope="module")
def tenant(
    environment: dict[str, str], maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Inhabitant]:
    """One tenant and one app for all of this: what is refused leaves nothing behind."""
    data_dir = tmp_path_factory.mktemp("bad_bodies")
    with opened(replace(load_settings(environment), data_dir=data_dir), maintenance) as world:
        yield world.settle()


def contact(properties: str) -> bytes:
    """The body of a new contact with the given JSON as its properties."""
    return f'{{"email":"a@example.com","properties":{properties}}}'.encode()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (contact(r'{"a":"\u0000"}'), "properties.a"),
        (contact(r'{"a":[1,{"b":"x\u0000y"}]}'), "properties.a[1].b"),
        (contact(r'{"a":{"\u0000key":1}}'), "properties.a"),
        (contact(r'{"a":"\ud800"}'), "properties.a"),
        (contact(r'{"a":["\udfff"]}'), "properties.a[0]"),
        (contact(r'{"\ud83d":1}'), "properties"),
        (rb'{"email":"a@example.com","first_name":"\u0000"}', "first_name"),
        (rb'{"email":"a@example.com","first_name":"\ud83d"}', "first_name"),
        (rb'{"email":"\u0000@example.com"}', "email"),
        (rb'{"email":"a@example.com","\u0000":1}', "body"),
    ],
)
def test_nul_and_lone_surrogates_in_json_are_refused_with_their_place(
    tenant: Inhabitant, body: bytes, field: str
) -> None:
    """In any string, however deep, and in keys."""
    newest = tenant.get(f"{CONTACTS}?limit=1").json
    said = refused_fields(tenant.post(CONTACTS, data=body, content_type="application/json"))
    assert said[field] == UNSTORABLE
    assert tenant.get(f"{CONTACTS}?limit=1").json == newest


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (b"", "is not valid JSON"),
        (b"email=a@example.com", "is not valid JSON"),
        (b'{"email":', "is not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "is not valid JSON"),
        (b'{"email":"\xc3\x28@example.com"}', "is not valid JSON"),
        (b"\xef\xbb\xbf{}", "is not valid JSON"),
        (contact('{"a":NaN}'), "NaN"),
        (contact('{"a":Infinity}'), "Infinity"),
        (contact('{"a":-Infinity}'), "Infinity"),
        (contact('{"a":1e400}'), "1e400"),
        (contact('{"a":-1e400}'), "1e400"),
        (contact('{"a":' + "9" * 5000 + "}"), "digits"),
        (contact('{"a":1,"b":2,"a":1}'), "an object has the name 'a' twice"),
        (contact('{"a":1,"\\u0061":1}'), "an object has the name 'a' twice"),
        (b"[]", "object"),
        (b'[{"email":"a@example.com"}]', "object"),
        (b'"a"', "object"),
        (b"1", "object"),
        (b"null", "object"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_body_that_is_no_json_object_is_refused(
    tenant: Inhabitant, method: str, body: bytes, allowed: str
) -> None:
    """Not JSON as RFC 8259 has it, not UTF-8, or another JSON type."""
    path = CONTACTS if method == "POST" else f"{CONTACTS}/{UNKNOWN_ID}"
    response = tenant.client.open(
        path, method=method, data=body, headers=tenant.headers, content_type="application/json"
    )
    assert allowed in refused_fields(response)["body"]


@pytest.mark.parametrize("depth", [65, 100, 250, 500, *range(880, 1010, 5), 2_000, 10_000, 100_000])
@pytest.mark.parametrize("form", [('{"a":', "}"), ("[", "]")])
def test_a_deeply_nested_body_is_refused_at_any_depth(
    tenant: Inhabitant, depth: int, form: tuple[str, str]
) -> None:
    """Also where Python's own recursion limit is near, and not yet reached."""
    left, right = form
    body = contact('{"a":' + left * depth + "1" + right * depth + "}")
    response = tenant.post(CONTACTS, data=body, content_type="application/json")
    assert "nested" in refused_fields(response)["body"]


def test_a_body_nested_as_deep_as_allowed_is_taken_whole(tenant: Inhabitant) -> None:
    """The bound itself is served, stored and given back."""
    properties: Any = 1
    for _ in range(62):  # the body and its properties are two levels more
        properties = {"a": properties}
    made = tenant.post(CONTACTS, json={"email": "a@example.com", "properties": properties})
    assert made.status_code == 201, made.json
    assert made.json["properties"] == properties


@pytest.mark.parametrize(
    ("body", "field", "allowed"),
    [
        ({}, "email", "required"),
        ({"email": None}, "email", "null"),
        ({"email": 1}, "email", "email"),
        ({"email": "nobody"}, "email", "email"),
        ({"email": f"{'x' * 320}@example.com"}, "email", "320"),
        ({"email": "a@example.com", "first_name": "x" * 201}, "first_name", "0 to 200"),
        ({"email": "a@example.com", "first_name": 1}, "first_name", "string"),
        ({"email": "a@example.com", "phone": "x" * 51}, "phone", "0 to 50"),
        ({"email": "a@example.com", "properties": []}, "properties", "mapping"),
        ({"email": "a@example.com", "properties": None}, "properties", "null"),
        ({"email": "a@example.com", "id": "x"}, "id", "company, email, first_name"),
    ],
)
def test_a_bad_field_of_a_body_is_refused_by_name(
    tenant: Inhabitant, body: dict[str, Any], field: str, allowed: str
) -> None:
    """Missing, null, of another type, too long or unknown."""
    assert allowed in refused_fields(tenant.post(CONTACTS, json=body))[field]


def test_all_bad_fields_are_named_at_once(tenant: Inhabitant) -> None:
    """One round trip tells all."""
    response = tenant.post(CONTACTS, json={"email": "x", "phone": 1, "colour": "red"})
    assert set(refused_fields(response)) == {"email", "phone", "colour"}


def test_a_change_of_nothing_is_refused_with_what_can_be_changed(tenant: Inhabitant) -> None:
    """An empty PATCH is a mistake."""
    said = refused_fields(tenant.patch(f"{CONTACTS}/{UNKNOWN_ID}", json={}))
    assert "email" in said["body"]
    assert "first_name" in said["body"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "text/json", "", "nonsense"]
)
def test_another_content_type_is_refused_with_the_right_one(
    tenant: Inhabitant, content_type: str
) -> None:
    """Guessing at a body's type is how wrong data gets in."""
    body = b'{"email":"a@example.com"}'
    response = tenant.post(CONTACTS, data=body, content_type=content_type)
    assert "application/json" in problem_of(response, 415)["detail"]


def test_a_body_past_the_bound_is_refused_with_the_bound(tenant: Inhabitant) -> None:
    """One byte more than OPSLEDGER_REQUEST_BYTES_MAX; the bound itself is read."""
    service = tenant.client.application.extensions[SERVICE]
    bound = service.settings.request_bytes_max
    frame = len(contact('{"a":""}'))
    fits = contact('{"a":"' + "x" * (bound - frame) + '"}')
    assert len(fits) == bound
    made = tenant.post(CONTACTS, data=fits, content_type="application/json")
    assert made.status_code == 201

    response = tenant.post(CONTACTS, data=fits + b" ", content_type="application/json")
    assert str(bound) in problem_of(response, 413)["detail"]


TEMPTING = (
    *("0", "1", "1000", "1001", "-0", "2147483648", "1e9", "NaN", "true", "null", "crm_create"),
    *("SUCCESS", "2024-01-15T10:30:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"),
    *("\x00", "\ufffe", "\U0001f600", "%", "_", "\\", "'; --", "a" * 300, "../..", "[]", "{}"),
    UNKNOWN_ID,
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20)
    | st.sampled_from([*TEMPTING, "a@example.com", 10**4000]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec=None), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
contact_fields = st.sampled_from(
    ("email", "first_name", "last_name", "company", "phone", "properties", "id")
)
bodies = st.one_of(
    st.binary(max_size=60),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(contact_fields, json_values).map(lambda value: json.dumps(value).encode()),
    json_values.map(lambda value: contact(json.dumps({"a": value}))),
)


@many_examples
@given(body=bodies, method=st.sampled_from(["POST", "PATCH"]))
def test_no_body_at_all_breaks_the_service(tenant: Inhabitant, body: bytes, method: str) -> None:
    """Whatever bytes or JSON are sent, the answer is a contact or a problem that names a field."""
    path = CONTACTS if method == "POST" else f"{CONTACTS}/{UNKNOWN_ID}"
    response = tenant.client.open(
        path, method=method, data=body, headers=tenant.headers, content_type="application/json"
    )
    if response.status_code == 400:
        refused_fields(response)
    elif method == "PATCH":
        problem_of(response, 404)
    else:
        assert response.status_code == 201
        # Postgres keeps a number's decimal value, not its notation: 1e16 comes back as an integer.
        sent, given_back = (
            json.loads(text, parse_int=Decimal, parse_float=Decimal)
            for text in (body, response.get_data())
        )
        assert given_back["properties"] == sent.get("properties", {})


@pytest.mark.parametrize("value", [0, 1, 1.0, "true", "false", None])
@pytest.mark.parametrize(
    ("path", "field", "others"),
    [
        (f"/api/v1/helpdesk/tickets/{UNKNOWN_ID}/comments", "public", {"body": "x"}),
        (
            *("/api/v1/calendar/events", "all_day"),
            {"title": "x", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"},
        ),
    ],
)
def test_what_is_only_like_a_boolean_is_none(
    tenant: Inhabitant, path: str, field: str, others: dict[str, str], value: object
) -> None:
    """Python takes 0 for False; the schema that clients have does not."""
    said = refused_fields(tenant.post(path, json={**others, field: value}))
    assert set(said) == {field}

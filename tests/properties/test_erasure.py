"""Erasing a person leaves nothing that names them, and changes nothing that does not."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.erasure import ERASED, Subject, SubjectKind, erase, erase_json, read_subject
from app.domain.records import Kind

EMAIL = Subject(SubjectKind.EMAIL, "jane.doe@example.org")
USER = Subject(SubjectKind.USER_ID, "auth0|5f7c8ec7c33c6c004bbafe82")
SUBJECTS = st.sampled_from([EMAIL, USER])
# None of them is Jane, although all look like her.
OTHERS = st.sampled_from(
    [
        *("mary-jane.doe@example.org", "jane.doe@example.org.uk", "jane.doe@example.organic"),
        *("x.jane.doe@example.org", "jane.doe+tag@example.org", "jane.doe", "example.org"),
        *("auth0|5f7c8ec7c33c6c004bbafe8", "auth0|5f7c8ec7c33c6c004bbafe823", ""),
        *("jane.doe@example", "jane.doe@example.orgs", "auth0|5f7c8ec7c33c6c004bbafe82@x.org"),
    ]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), OTHERS, st.text(max_size=8)
)
NAMES = st.one_of(
    st.sampled_from(["name", "email", "id", "user_id", "to"]), OTHERS, st.text(max_size=5)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=20,
)


def naming(subject: Subject) -> st.SearchStrategy[str]:
    """Texts that name the person."""
    forms = [
        subject.value,
        f"to {subject.value}, at once",
        f"<{subject.value}>",
        f"({subject.value}).",
    ]
    if subject.kind is SubjectKind.EMAIL:
        forms += [
            subject.value.upper(),
            f" {subject.value} ",
            "https://x/?to=jane.doe%40example.org&a=1",
        ]
    return st.sampled_from(forms)


def planted(draw: Any, value: Any, subject: Subject) -> Any:
    """A value with the person put somewhere into it: as a value, in a list or as a name."""
    named = draw(naming(subject))
    if isinstance(value, list) and value:
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], planted(draw, value[at], subject), *value[at + 1 :]]
    if isinstance(value, dict) and value:
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.booleans()):
            return {**value, named: value[name]}
        return {**value, name: planted(draw, value[name], subject)}
    return named


@given(st.data(), JSON, SUBJECTS)
def test_no_document_names_the_person_afterwards(
    data: st.DataObject, value: Any, subject: Subject
) -> None:
    """Wherever they stood; and a second time there is nothing to do."""
    document = json.dumps(planted(data.draw, value, subject), ensure_ascii=False)
    erased = erase_json(document, subject)
    assert erased is not None
    assert ERASED in erased
    assert not any(subject.is_in(text) for text in texts_of(json.loads(erased)))
    assert erase_json(erased, subject) is None


@given(JSON, SUBJECTS)
def test_nobody_else_is_touched(value: Any, subject: Subject) -> None:
    """However much their addresses and ids look like the person's."""
    assert erase_json(json.dumps(value, ensure_ascii=False), subject) is None


@given(JSON, JSON, SUBJECTS)
def test_what_stands_beside_the_person_stays_as_it_was(
    before: Any, after: Any, subject: Subject
) -> None:
    """Every value and name, to the last digit of a number."""
    document = json.dumps([before, subject.value, after], ensure_ascii=False)
    erased = erase_json(document, subject)
    assert erased is not None
    assert json.loads(erased) == json.loads(
        document.replace(json.dumps(subject.value), f'"{ERASED}"')
    )


def texts_of(value: Any) -> list[str]:
    """All texts of a JSON value, names of objects among them."""
    if isinstance(value, dict):
        return [*value, *(text for one in value.values() for text in texts_of(one))]
    if isinstance(value, list):
        return [text for one in value for text in texts_of(one)]
    return [value] if isinstance(value, str) else []


def test_what_an_object_says_of_the_person_goes_with_their_name() -> None:
    """Whatever the case of its names; what is no person's stays, and numbers to the digit."""
    document = (
        '{"id": 7, "Email": "Jane.Doe@example.org", "first_name": "Jane", "phone": 49301234,'
        ' "amount": 1.10000000000000000001, "vip": true, "address": {"city": "B"}, "note": "x",'
        ' "of": {"name": "Acme"}}'
    )
    assert erase_json(document, EMAIL) == (
        '{"id": 7, "Email": "[erased]", "first_name": "[erased]", "phone": "[erased]",'
        ' "amount": 1.10000000000000000001, "vip": true, "address": "[erased]", "note": "x",'
        ' "of": {"name": "Acme"}}'
    )


def test_names_of_objects_stay_apart() -> None:
    """Two that name the person do not become one."""
    document = '{"jane.doe@example.org": 1, "JANE.DOE@example.org": 2, "a": 3}'
    assert erase_json(document, EMAIL) == '{"a": 3, "[erased]": 1, "[erased] 2": 2}'


def test_a_short_id_is_found_where_it_is_all_of_a_value() -> None:
    """Within texts it would be found in others' words and figures; a number only under its name."""
    subject = read_subject("user_id", "42")
    assert not subject.is_sought_within
    document = '{"user_id": 42, "count": 42, "by": "42", "text": "order 42", "ids": [42]}'
    assert erase_json(document, subject) == (
        '{"user_id": "[erased]", "count": 42, "by": "[erased]", "text": "order 42", "ids": [42]}'
    )
    assert erase_json('{"count": 42, "name": "x", "text": "order 42"}', subject) is None


def test_address_and_agent_are_the_persons_where_the_person_acted() -> None:
    """And nowhere else: others come from the same address."""
    values = {
        "user_id": "jane.doe@example.org",
        "resource_id": "c-1",
        "ip_address": "192.0.2.7",
        "user_agent": "Mozilla",
        "operation_id": None,
        "changes": '{"after": {"a": 1}}',
        "metadata": '{"http": {"ip_address": "192.0.2.7", "route": "/x"}}',
    }
    assert erase(Kind.AUDIT, values, EMAIL) == {
        "user_id": ERASED,
        "ip_address": ERASED,
        "user_agent": ERASED,
        "metadata": '{"http": {"ip_address": "[erased]", "route": "/x"}}',
    }
    assert erase(Kind.AUDIT, {**values, "user_id": "john"}, EMAIL) == {}

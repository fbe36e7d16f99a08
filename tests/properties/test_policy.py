"""A tenant's policy, whatever the payload: what a rule names is concealed, and nothing else is."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.cleaning import Alterations, clean, clean_text
from app.domain.codec import dump_json
from app.domain.places import bare_name, read_steps
from app.domain.policy import (
    HASH_MASK,
    PATH_CHARS_MAX,
    POLICY_MASK,
    Mode,
    Policy,
    PolicyRule,
    tenant_hash_key,
)
from tests.support.strategies import clean_scalars, dirty_values, json_of

PLENTY = 1 << 30
TENANT = UUID("0198c0de-0000-7000-8000-000000000001")
HASH_KEY = tenant_hash_key("k" * 32, TENANT)
NAMES = ("email", "E-Mail", "a", "b.c", "it's", "name", "0", "*", "Ž", "first name")
GONE = object()

modest = settings(max_examples=200, deadline=None)
modes = st.sampled_from(list(Mode))
values = json_of(clean_scalars, st.sampled_from(NAMES))

Place = tuple[str | int, ...]


def places(value: Any, at: Place = ("request_payload",)) -> Iterator[tuple[Place, Any]]:
    """Every place in a value, and what stands there."""
    yield at, value
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for name, item in items:
        yield from places(item, (*at, name))


def written(place: Place) -> str:
    """A place as a policy names it."""
    field, *steps = place
    return str(field) + "".join(
        f"[{step}]"
        if isinstance(step, int)
        else f".{step}"
        if step.isalnum() and step.isascii()
        else f"['{step}']"
        for step in steps
    )


def cleaned(value: Any, *rules: PolicyRule) -> Any:
    """The copy under a policy, which the short way makes too."""
    policy = Policy(rules, HASH_KEY)
    long, short = Alterations(), Alterations()
    options: dict[str, Any] = {"name": "request_payload", "bytes_max": PLENTY, "policy": policy}
    copy = clean(value, alterations=long, **options)
    assert clean_text(value, alterations=short, **options) == dump_json(copy)
    assert long == short
    return copy


def concealed(copy: Any, mode: Mode) -> bool:
    """Whether a value is what stands for one that a rule of this mode found."""
    start = {Mode.MASK: POLICY_MASK, Mode.HASH: HASH_MASK[:9]}.get(mode)
    return copy is GONE if start is None else isinstance(copy, str) and copy.startswith(start)


@given(values, modes)
@modest
def test_a_rule_by_key_conceals_it_wherever_it_stands(value: Any, mode: Mode) -> None:
    """Whatever its case and separators; all else is as it was."""
    copy = cleaned(value, PolicyRule(mode, key="e mail"))

    def expected(item: Any, found: Any) -> None:
        if isinstance(item, dict):
            for name, inner in item.items():
                there = found.get(name, GONE)
                if bare_name(name) != "email":
                    expected(inner, there)
                elif inner is not None or mode is Mode.DROP:
                    assert concealed(there, mode)
        elif isinstance(item, list):
            assert len(found) == len(item)
            for inner, there in zip(item, found, strict=True):
                expected(inner, there)
        else:
            assert repr(found) == repr(item)

    expected(value, copy)


@given(values, modes, st.data())
@modest
def test_a_rule_by_path_conceals_that_place_alone(value: Any, mode: Mode, data: Any) -> None:
    """Any place of a payload can be named, and of the others none changes."""
    place, item = data.draw(st.sampled_from(list(places(value))))
    path = written(place)
    assume("'" not in "".join(map(str, place)) and len(path) <= PATH_CHARS_MAX)
    assert read_steps(path) == place
    copy = cleaned(value, PolicyRule(mode, path=path))
    found = dict(places(copy))
    if mode is Mode.DROP and isinstance(place[-1], int):
        assert len(dict(places(value))) > len(found)  # what follows in the list moved up
        return
    for at, before in places(value):
        inside = at[: len(place)] == place
        if at == place and (item is not None or mode is Mode.DROP):
            assert concealed(
                None if len(place) == 1 and mode is Mode.DROP else found.get(at, GONE), mode
            ) or (copy is None and len(place) == 1)
        elif not inside and not isinstance(before, dict | list):
            assert repr(found[at]) == repr(before)


@given(values, values)
@modest
def test_equal_values_have_equal_hashes_and_others_have_not(one: Any, other: Any) -> None:
    """Of any type, whatever the order of names."""
    assume(one is not None and other is not None)
    rule = PolicyRule(Mode.HASH, key="x")
    shown = [cleaned({"x": each}, rule)["x"] for each in (one, json.loads(json.dumps(one)), other)]
    assert shown[0] == shown[1]
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (shown[0] == shown[2]) == same


@given(dirty_values, modes)
@modest
def test_no_value_breaks_a_policy(value: Any, mode: Mode) -> None:
    """Surrogates, NaN, huge integers: what is hashed need not be storable."""
    rules = [PolicyRule(mode, key="a"), PolicyRule(mode, path="request_payload[*].x")]
    json.loads(dump_json(cleaned([{"a": value, "x": value, "y": value}], *rules)))

"""Cleaning, whatever the payload: no secret stays, nothing else changes, all can be stored."""

import json
import re
from enum import Enum
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.cleaning import (
    DEPTH_MAX,
    Alterations,
    clean,
    clean_text,
)
from app.domain.codec import dump_json
from app.domain.secret_names import SECRET_ENDINGS, SECRET_WORDS, secret_word
from app.domain.secret_values import mask_text
from tests.support.strategies import any_text, clean_scalars, dirty_values, json_of, json_values

PLENTY = 1 << 30
PLANTED = "hunter2-planted"
# The secret names as their parts, which separators may come between.
SPELLED = {phrase: phrase.split() for phrase in (*SECRET_ENDINGS, *SECRET_WORDS)}
SEPARATORS = ("_", "-", ".", " ", ":", "__", "/")
COMPANY = ("", "my", "x", "http", "db", "value", "hash", "old", "1")

modest = settings(max_examples=150, deadline=None)


@st.composite
def secret_keys(draw: st.DrawFn) -> str:
    """Names of secrets: in company or alone, in any spelling that people use."""
    secret = SPELLED[draw(st.sampled_from(sorted(SPELLED)))]
    before, after = draw(st.sampled_from(COMPANY)), draw(st.sampled_from(COMPANY))
    words = [word for word in (before, *secret, after) if word]
    style = draw(st.sampled_from(["separated", "camel", "pascal", "upper", "random"]))
    if style == "camel":
        return words[0] + "".join(word.title() for word in words[1:])
    if style == "pascal":
        return "".join(word.title() for word in words)
    name = draw(st.sampled_from(SEPARATORS)).join(words)
    if style == "upper":
        return name.upper()
    if style == "random":
        return "".join(draw(st.sampled_from([c.lower(), c.upper()])) for c in name)
    return name


innocent_values = json_of(clean_scalars, st.sampled_from(["name", "email", "a", "", "Ž", "id"]))


def _plant(draw: st.DrawFn, value: Any, key: str) -> Any:
    """The value with a secret put under `key` into one of its objects, however deep."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: _plant(draw, value[name], key)}
    if isinstance(value, list) and value and draw(st.booleans()):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], _plant(draw, value[index], key), *value[index + 1 :]]
    secret = draw(st.sampled_from([PLANTED, [PLANTED], {"a": {"b": PLANTED}}]))
    return {**value, key: secret} if isinstance(value, dict) else [value, {key: secret}]


@st.composite
def planted(draw: st.DrawFn) -> tuple[Any, Any, str]:
    """An innocent value, the same with a secret in it, and the secret's key."""
    value, key = draw(innocent_values), draw(secret_keys())
    return value, _plant(draw, value, key), key


@given(planted())
@example((None, [None, {"hasH_bearer": PLANTED}], "hasH_bearer"))
@example((None, [None, {"authorizatiOn": PLANTED}], "authorizatiOn"))
@modest
def test_a_planted_secret_never_survives(case: tuple[Any, Any, str]) -> None:
    """At any depth, whatever the key's case and separators; and its place is told."""
    _, value, key = case
    alterations = Alterations()
    copy = clean(value, name="data", bytes_max=PLENTY, alterations=alterations)
    assert PLANTED.encode() not in dump_json(copy)
    (path,) = alterations.paths["redacted"]
    assert path.endswith(f".{key}")


@given(planted())
@modest
def test_nothing_but_the_secret_changes(case: tuple[Any, Any, str]) -> None:
    """Putting the secret back gives the original."""
    _, value, _ = case
    copy = clean(value, name="data", bytes_max=PLENTY, alterations=Alterations())
    assert _restored(copy, value) == value


def _restored(copy: Any, original: Any) -> Any:
    if isinstance(copy, str) and copy.startswith("[redacted: "):
        return original
    if isinstance(copy, dict):
        return {name: _restored(item, original[name]) for name, item in copy.items()}
    if isinstance(copy, list):
        return [_restored(item, original[index]) for index, item in enumerate(copy)]
    return copy


@given(planted(), st.integers(1, 2000))
@modest
def test_a_cut_value_holds_no_secret_either(case: tuple[Any, Any, str], bytes_max: int) -> None:
    """Neither in the preview nor as a hash of itself."""
    copy = clean(case[1], name="data", bytes_max=bytes_max, alterations=Alterations())
    assert PLANTED.encode() not in dump_json(copy)


# Texts with a secret in them: what comes before it, the secret, what comes after.
shown_secrets = st.sampled_from(
    [
        ("Bearer ", "hunter2.planted-AbC", ""),
        ("authorization: basic ", "aHVudGVyMjpwbGFudGVk", ""),
        ("", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", ""),
        (
            "-----BEGIN RSA PRIVATE KEY-----",
            "\nMIIplanted\nhunter2==\n",
            "-----END RSA PRIVATE KEY-----",
        ),
        ("", "4111 1111 1111 1111", ""),
        ("", "5555-5555-5555-4444", ""),
        ("", "378282246310005", ""),
        ("", "AKIAIOSFODNN7EXAMPLE", ""),
        ("", "ghp_" + "a1B2" * 9, ""),
        ("", "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", ""),
        ("", "sk-proj-" + "a1B2c3D4" * 5, ""),
        ("", "xoxb-1234567890-abcdefghij", ""),
        ("", "AIza" + "SyA1-b2_C" * 4, ""),
        ("", "glpat-" + "x9_Y" * 5, ""),
        ("", "ops_live_" + "0123456789abcdef" * 4, ""),
        ("postgresql://bob:", "hunter2-planted", "@db.example/x"),
        ("https://x.example/?api_key=", "hunter2-planted", "&page=2"),
        ("{'password': '", "hunter2-planted", "'}"),
        ('{"clientSecret":"', "hunter2 planted", '"}'),
        ("Server=db;Password=", "hunter2-planted", ";Timeout=5"),
    ]
)
# What may stand around one in a text without becoming part of it, or making it something else.
around = st.text(st.sampled_from(" \n\t\"'(){}\\\x01žé,;!?\u2028"), max_size=4)
texts_with_secrets = st.tuples(around, shown_secrets, around).map(
    lambda parts: (f"{parts[0]} {''.join(parts[1])} {parts[2]}", parts[1][1])
)


@st.composite
def shown(draw: st.DrawFn) -> tuple[Any, str]:
    """An innocent value with a text in it that shows a secret, and the secret."""
    text, secret = draw(texts_with_secrets)
    value = draw(innocent_values)
    wrapped = draw(st.sampled_from([text, [text], {"note": {"deep": [text]}}, {text: 1}]))
    return [value, wrapped], secret


@given(shown())
@modest
def test_a_secret_that_shows_itself_never_survives(case: tuple[Any, str]) -> None:
    """In a text or a key, at any depth, whatever is around it; and its place is told."""
    value, secret = case
    alterations = Alterations()
    copy = clean(value, name="data", bytes_max=PLENTY, alterations=alterations)
    assert dump_json(secret)[1:-1] not in dump_json(copy)
    assert "[redacted: " in dump_json(copy).decode()
    assert any(path.startswith("data[1]") for path in alterations.paths["redacted"])


@given(texts_with_secrets)
@modest
def test_of_a_text_the_secret_alone_is_replaced(case: tuple[str, str]) -> None:
    """By a mask that says which rule it was; what is before and after it stays."""
    text, secret = case
    before, after = text.split(secret)
    masked = mask_text(text)
    assert masked.startswith(before)
    assert masked.endswith(after)
    mask = masked[len(before) : len(masked) - len(after)]
    assert re.fullmatch(r"\[redacted: [a-z_]+\]", mask)
    assert mask_text(masked) == masked


@given(json_values.filter(lambda value: not _names_secret(value)))
@modest
def test_a_json_value_without_secrets_is_copied_unchanged(value: Any) -> None:
    """With nothing noted, and the same types: 1, 1.0 and true are three values."""
    alterations = Alterations()
    copy = clean(value, name="data", bytes_max=PLENTY, alterations=alterations)
    assert repr(copy) == repr(value)
    assert alterations.paths == {}


def _names_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(secret_word(name) or _names_secret(item) for name, item in value.items())
    return isinstance(value, list) and any(map(_names_secret, value))


foreign = st.binary(max_size=8) | st.decimals() | st.dates() | st.uuids() | st.complex_numbers()
python_values = st.recursive(
    dirty_values | foreign,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(any_text | st.integers() | st.none() | st.binary(), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(python_values, st.integers(1, 100_000))
@modest
def test_whatever_is_given_the_copy_can_be_encoded_and_stored(value: Any, bytes_max: int) -> None:
    """JSON types alone, within the bound, without NUL or lone surrogates, keys and notes too."""
    alterations = Alterations()
    copy = clean(value, name="data", bytes_max=bytes_max, alterations=alterations)
    encoded = dump_json([copy, alterations.paths])
    assert json.loads(encoded) == [copy, alterations.paths]
    assert b"\\u0000" not in encoded.replace(b"\\\\", b"")
    assert "truncated" in alterations.paths or len(dump_json(copy)) <= bytes_max
    assert _depth(copy) <= DEPTH_MAX


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@given(dirty_values)
@modest
def test_cleaning_twice_changes_nothing_more(value: Any) -> None:
    """A clean value is clean."""
    once = clean(value, name="data", bytes_max=PLENTY, alterations=Alterations())
    assert repr(clean(once, name="data", bytes_max=PLENTY, alterations=Alterations())) == repr(once)


class Colour(Enum):
    """What a host application may put into a payload."""

    RED = "red"
    NOTHING = float("nan")


class Name(str):
    """A text of a kind of its own."""


odd_values = st.sampled_from([Colour.RED, Colour.NOTHING, Name("x"), (1, 2), float("inf"), -0.0])
awkward_keys = st.sampled_from(["pass\nword", "to\u212aen", "pass\u212aword", 'api"key', "t\\oken"])
any_values = json_of(
    st.one_of(dirty_values, foreign, odd_values), st.one_of(any_text, secret_keys(), awkward_keys)
)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@given(
    any_values
    | planted().map(lambda case: case[1])
    | shown().map(lambda case: case[0])
    | st.integers(10**12, 10**19)
    | st.integers(1, DEPTH_MAX + 2).map(_nested),
    st.sampled_from([1, 100, PLENTY]),
)
@modest
def test_the_text_is_that_of_the_cleaned_copy(value: Any, bytes_max: int) -> None:
    """The short way, which encodes first and looks for secrets in the text, differs in nothing."""
    walked, told = Alterations(), Alterations()
    copy = clean(value, name="data", bytes_max=bytes_max, alterations=walked)
    text = clean_text(value, name="data", bytes_max=bytes_max, alterations=told)
    assert text == dump_json(copy)
    assert told == walked

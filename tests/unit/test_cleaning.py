"""Cleaning: secrets masked, the unstorable repaired, the large cut, the rest left alone."""

import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from werkzeug.datastructures import Headers

from app.domain.cleaning import (
    DEPTH_MAX,
    PATH_CHARS_MAX,
    PATHS_MAX,
    PREVIEW_CHARS,
    VALUES_MAX,
    Alterations,
    clean,
    clean_text,
)
from app.domain.codec import dump_json
from app.domain.secret_names import cached_secret_word, secret_word

PLENTY = 1 << 20


class Colour(Enum):
    """An enum of the host application."""

    RED = "red"
    NESTED = {"password": "hunter2"}  # noqa: RUF012


class Level(IntEnum):
    """An enum of numbers."""

    HIGH = 3


class Unprintable:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Lazy(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __getitem__(self, key: str) -> Any:
        return {"a": 1, "token": "hunter2"}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["a", "token"])

    def __len__(self) -> int:
        return 2


def cleaned(value: Any, bytes_max: int = PLENTY) -> tuple[Any, dict[str, list[str]]]:
    """The clean copy of a value named `data`, and what was altered."""
    alterations = Alterations()
    return clean(
        value, name="data", bytes_max=bytes_max, alterations=alterations
    ), alterations.paths


@pytest.mark.parametrize(
    "key",
    [
        *("password", "PASSWORD", "Password", "db_password", "dbPassword", "DB-PASSWORD"),
        *("password_hash", "passwordHash", "PASSWORD_HASH", "password.1", "passwords", "passwd"),
        *("secret", "client_secret", "clientSecret", "SecretKey", "secrets", "s3_secret_key"),
        *("token", "access_token", "accessToken", "TOKEN", "refresh-token", "token2", "tokens"),
        *("authorization", "Authorization", "proxy-authorization", "HTTP_AUTHORIZATION"),
        *("cookie", "Cookie", "Set-Cookie", "cookies", "sessionCookie"),
        *("api_key", "apiKey", "API_KEY", "APIKey", "api-key", "api key", "X-API-Key", "apikey"),
        *("api_keys", "my.api.key", "private_key", "privateKey", "passphrase", "credentials"),
        *("ssn", "SSN", "customer_ssn", "socialSecurityNumber", "social-security", "iban", "CVV"),
        *("cvc2", "card_number", "cardNumber", "credit-card", "cardNo", "pin", "user_pin", "pwd"),
        *("sessionId", "session_key", "PHPSESSID", "connect.sid", "jwt", "X-CSRF-Token", "xsrf"),
        *("bearer", "otp", "totp_value", "mfaCode", "recovery_codes", "accessKey", "AccessKeyId"),
        *("aws_secret_access_key", "connectionString", "sentry_dsn", "signing_key", "smtp_pass"),
        *("basic_auth", "token_value_secret", "sshKey", "passportNumber"),
        *("pAsSwOrD", "pAsSwOrD_hash", "aPi_kEy_value", "ToKeN-vAlUe", "pass\x00word"),
    ],
)
def test_a_key_named_like_a_secret_is_masked(key: str) -> None:
    """Whatever its case, separators and company; the mask says which word it was."""
    copy, altered = cleaned({"a": {key: "hunter2"}, "b": 1})
    assert "hunter2" not in json.dumps(copy)
    (masked,) = copy["a"].values()
    assert masked.startswith("[redacted: ")
    assert len(altered["redacted"]) == 1
    assert copy["b"] == 1


@pytest.mark.parametrize(
    "key",
    [
        *("", "1", "name", "email", "passenger", "author", "authority", "key", "keyboard", "api"),
        *("token_count", "tokenType", "password_length", "cookie_expiry", "secretary", "monkey"),
        *("tokenizer", "cookiecutter", "apikeyless", "tokenized", "cookie_consent", "cookiePolicy"),
        *("total_tokens", "max_tokens", "prompt_tokens", "completion_tokens", "tokens_used"),
        *("completion_tokens_details", "cache_read_input_tokens", "maxOutputTokens", "numTokens"),
        *("password_changed_at", "passwordPolicy", "has_password", "is_secret", "token_expires_in"),
        *("shopping", "opinion", "pinned", "pin_x", "boarding_passes", "pass_rate", "spin"),
        *("session", "sessions", "issn", "card", "card_brand", "card_last4", "author", "ibanez"),
        *("access", "connection", "string", "security", "social", "keys", "bearing", "laptop"),
    ],
)
def test_a_key_that_holds_no_secret_is_left_alone(key: str) -> None:
    """Measures of secrets, and words that only begin like one."""
    assert secret_word(key) is None
    assert cleaned({key: "kept"}) == ({key: "kept"}, {})


@pytest.mark.parametrize("value", ["x", "", 0, False, ["x"], {"a": "x"}, 1.5, b"x"])
def test_a_secret_of_any_type_is_masked_whole(value: Any) -> None:
    """Lists and objects too: nothing below the key is kept."""
    assert cleaned({"token": value}) == (
        {"token": "[redacted: token]"},
        {"redacted": ["data.token"]},
    )


def test_a_secret_that_is_null_stays_null() -> None:
    """That there is none is no secret."""
    assert cleaned({"password": None}) == ({"password": None}, {})


CARD = "4111111111111111"


@pytest.mark.parametrize(
    "value",
    [
        *({"number": CARD}, {"note": CARD}, {"number": int(CARD)}, [CARD], CARD, {"data": [CARD]}),
        *({"cardId": CARD}, {"payment_id": CARD}, {"number_no": CARD}, {CARD: 1}),
        *({"order_id": f"order {CARD}"}, {"order_id": "4111 1111 1111 1111"}),
    ],
)
def test_a_card_number_is_masked(value: Any) -> None:
    """Text, number, key or part of a text; "id" at the end of a card's name excuses nothing."""
    copy, altered = cleaned(value)
    assert CARD not in json.dumps(copy)
    assert "[redacted: card_number]" in json.dumps(copy)
    assert len(altered["redacted"]) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("id", "order_id", "orderId", "customer_ids", "uid", "seq", "last_offset", "created_at"),
        *("timestamp", "imei", "order_number", "invoiceNo", "TRACKING_NUMBER"),
    ],
)
@pytest.mark.parametrize("value", [CARD, int(CARD), [CARD, [int(CARD)]]])
def test_a_number_whose_name_says_that_it_numbers_something_stays(name: str, value: Any) -> None:
    """One in ten ids of a card's form has the right check digit."""
    assert cleaned({"a": {name: value}}) == ({"a": {name: value}}, {})


def test_secrets_are_found_in_lists_sets_mappings_enums_and_tuples() -> None:
    """Wherever a key can be."""
    copy, altered = cleaned(
        [({"token": "hunter2"},), Lazy(), Colour.NESTED, OrderedDict(token="hunter2")]
    )
    assert "hunter2" not in json.dumps(copy)
    assert altered["redacted"] == [
        *("data[0][0].token", "data[1].token", "data[2].password", "data[3].token"),
    ]


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (2**200, 2**200),
        (-1.5, -1.5),
        ("", ""),
        ("žluť 🐎", "žluť 🐎"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (frozenset(), []),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ({1: "a", None: "b", ("x",): "c"}, {"1": "a", "None": "b", "('x',)": "c"}),
        (Lazy(), {"a": 1, "token": "[redacted: token]"}),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (deque([1]), "deque([1])"),
    ],
)
def test_python_values_become_their_json(value: Any, copy: Any) -> None:
    """Types of JSON as they are, others as text."""
    assert cleaned(value)[0] == copy


def test_bytes_are_described_not_copied() -> None:
    """A file's content does not belong in a log."""
    digest = hashlib.sha256(b"abc").hexdigest()
    for value in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert cleaned(value)[0] == f"[3 bytes, sha256 {digest}]"


def test_an_objects_text_is_bounded() -> None:
    """A repr can be endless."""
    assert len(cleaned(deque(range(10_000)))[0]) == PREVIEW_CHARS


def test_an_object_that_cannot_be_shown_is_named_by_its_type() -> None:
    """Its neighbours are kept."""
    copy, _ = cleaned({"a": Unprintable(), "b": 1})
    assert copy == {"a": "[unprintable Unprintable]", "b": 1}


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        ("a\x00b", "a\ufffdb"),
        ("a\ud800b", "a\ufffdb"),
        ("\udfff\x00", "\ufffd\ufffd"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (10**4000, "[integer of more than 3,600 digits]"),
        (-(10**4000), "[integer of more than 3,600 digits]"),
    ],
)
def test_what_postgres_cannot_hold_is_repaired_and_noted(value: Any, copy: Any) -> None:
    """With the path of each repair."""
    assert cleaned({"a": [value]}) == ({"a": [copy]}, {"repaired": ["data.a[0]"]})


def test_keys_are_repaired_as_values_are() -> None:
    """A NUL in a key would cost the record just the same."""
    assert cleaned({"a\x00": 1}) == ({"a\ufffd": 1}, {"repaired": ["data"]})


def test_keys_that_become_the_same_text_both_stay() -> None:
    """1 and "1" are two keys to Python, one to JSON."""
    copy, altered = cleaned({1: "a", "1": "b", "x\x00": "c", "x\ufffd": "d"})
    assert sorted(copy.values()) == ["a", "b", "c", "d"]
    assert "repaired" in altered


def test_nesting_is_cut_at_a_named_depth() -> None:
    """With a mark, and without a secret slipping out below it."""
    value: Any = {"password": "hunter2"}
    for _ in range(DEPTH_MAX):
        value = [value]
    copy, altered = cleaned(value)
    assert "hunter2" not in json.dumps(copy)
    assert "deeper than 64 levels" in json.dumps(copy)
    assert list(altered) == ["too_deep"]
    assert cleaned(value[0])[1] == {"redacted": ["data" + "[0]" * (DEPTH_MAX - 1) + ".password"]}


@pytest.mark.timeout(20)
def test_a_structure_that_contains_itself_ends() -> None:
    """Parents and children that point at each other would otherwise be copied 10^32 times."""
    parent: dict[str, Any] = {"name": "parent"}
    parent["children"] = [{"parent": parent, "name": index} for index in range(10)]
    copy, altered = cleaned(parent)
    assert copy["children"][9] == {"parent": "[contains itself]", "name": 9}
    assert len(altered["circular"]) == 10


def test_the_same_value_twice_is_no_circle() -> None:
    """Shared is not nested."""
    shared = {"a": [1]}
    assert cleaned([shared, shared, {"b": shared}]) == ([shared, shared, {"b": shared}], {})


def test_what_the_caller_changes_later_changes_nothing() -> None:
    """The copy shares no part with the original."""
    value = {"a": [{"b": 1}]}
    copy, _ = cleaned(value)
    value["a"][0]["b"] = 2
    value["a"].append({})
    assert copy == {"a": [{"b": 1}]}


def test_a_value_of_exactly_the_bound_is_kept_whole() -> None:
    """The bound is in bytes of JSON text, not in characters."""
    value = {"a": "ž" * 10}
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    assert cleaned(value, size) == (value, {})
    assert cleaned(value, size - 1)[1] == {"truncated": ["data"]}


def test_a_larger_value_leaves_its_size_its_hash_and_its_beginning() -> None:
    """Of the clean text: the hash of a secret would be a secret."""
    value = {"password": "hunter2", "text": "ž" * 5000}
    copy, altered = cleaned(value, 1000)
    whole = json.dumps(
        {"password": "[redacted: password]", "text": "ž" * 5000},
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    assert copy == {
        "truncated": True,
        "size_bytes": len(whole),
        "sha256": hashlib.sha256(whole).hexdigest(),
        "preview": whole[:PREVIEW_CHARS].decode("utf-8", "ignore"),
    }
    assert altered == {"redacted": ["data.password"], "truncated": ["data"]}


def test_the_notes_on_alterations_are_bounded() -> None:
    """A payload of a million secrets, or of one endless key, must not make an endless record."""
    alterations = Alterations()
    value = [{"token": "x"}] * (PATHS_MAX + 50) + [{"k" * 5000: float("nan")}]
    clean(value, name="data", bytes_max=10, alterations=alterations)
    assert len(alterations.paths["redacted"]) == PATHS_MAX
    assert len(alterations.paths["repaired"][0]) == PATH_CHARS_MAX
    assert alterations.paths["truncated"] == ["data"]


def test_long_keys_are_judged_but_not_remembered() -> None:
    """A cache of thousands of megabyte keys would be a leak that callers control."""
    before = cached_secret_word.cache_info().currsize
    key = "x" * 100_000 + "_password"
    assert cleaned({key: "hunter2"})[0] == {key: "[redacted: password]"}
    assert cached_secret_word.cache_info().currsize == before


@dataclass
class User:
    """An object of the host application."""

    name: str
    api_key: str


@pytest.mark.parametrize(
    "value",
    [
        User("ann", "hunter2"),
        deque([{"password": "hunter2"}]),
        {"Cookie": "hunter2"}.items(),
        Headers({"Authorization": "Bearer hunter2"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_objects_text_that_names_a_secret_is_masked_whole(value: object) -> None:
    """Such as a request's headers, handed over as they are."""
    copy, _ = cleaned({"a": value})
    assert copy == {"a": f"[redacted: {type(value).__name__}]"}


def test_more_values_than_a_field_may_have_are_not_walked() -> None:
    """A mark stands for the container that brought it past the bound; others stay."""
    copy, altered = cleaned({"few": [1], "many": {str(n): n for n in range(VALUES_MAX)}})
    assert copy == {"few": [1], "many": f"[more than {VALUES_MAX} values]"}
    assert altered == {"too_many": ["data.many"]}
    text = clean_text([[0] * VALUES_MAX], name="data", bytes_max=PLENTY, alterations=Alterations())
    assert text == dump_json([f"[more than {VALUES_MAX} values]"])

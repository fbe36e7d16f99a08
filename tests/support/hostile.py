"""Hostile payloads, and what the documents say becomes of each: the oracle is written from
docs/api.md and docs/redaction.md, not from the code.
"""

import hashlib
import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from app.domain.codec import dump_json
from app.domain.secret_names import secret_word
from tests.support.strategies import any_text, dirty_scalars, json_of

FIELD_BYTES_MAX = 65_536
DEPTH_MAX = 64
TEXT_CHARS_MAX = 16_384
LONG_INTEGER = 10**3700
LONG_INTEGER_MARK = "[integer of more than 3,600 digits]"
DEPTH_MARK = "[deeper than 64 levels]"

TEXTS = (
    *("\x00", "a\x00b", "\ud800", "\udfff\ud800", "\u202egnp.exe", "\u2066x\u2069", "\ufeff"),
    *("'; DROP TABLE action_logs; --", "\\N", "\\.", "\t\n\r\\", "\\u0000", "{{7*7}}", "%s%n"),
    *("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", "-1+1", "=1+1"),
    *("${jndi:ldap://x/a}", "../" * 9, "NaN", "null", "undefined", "-0", "1e400", "é" * 9),
    *("🏴󠁧󠁢󠁥󠁮󠁧󠁿", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤", "\u2028", "a" * 20_000, "\x00" * 20_000, "é" * 70_000, "\x1b[2J", "\x7f\x85"),
)
TAKEN = (  # JSON texts that no encoder of ours would write
    *("-0.0", "-0", "1e308", "5e-324", "1" + "0" * 400, "-1" + "0" * 400, "9" * 4_000, "[]", "{}"),
    *("0.1" + "0" * 5_000, "[" * 60 + "]" * 60, '{"a":' * 63 + "1" + "}" * 63, "[" * 65 + "]" * 65),
    *('{"a":' * 200 + "1" + "}" * 200, '"\\ud800"', '"\\u0000"', '{"\\u0000":1}', "null", "true"),
    *('{"a\\u0000":1,"a\\ud800":2,"a\\ufffd":3}', '{"__proto__":1}', '{"":{"":[]}}', "1.0", "1"),
)
REFUSED = (
    *("1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1" * 5_000, "[" * 10_000 + "]" * 10_000),
    *('{"a":' * 10_000 + "1" + "}" * 10_000, "[" * 900_000, '{"a":1,"a":2}', '{"":1,"":1}'),
    *('{"a":{"b":1,"\\u0062":2}}', '"unterminated', "tru", "[1,]", "01", "'x'", '"\x01"', "", "}"),
)
LARGE = (json.dumps("x" * 4_900_000), json.dumps(["y" * 1_000] * 4_800), json.dumps("é" * 800_000))
TOO_LARGE = json.dumps("x" * 5_100_000)
FOREIGN = (  # what only Python can hand over
    *(math.nan, math.inf, -math.inf, [math.nan, {"a": -math.inf}], 10**5_000, {1: 1, "1": 2}),
)
hostile_values = json_of(
    dirty_scalars | st.sampled_from(TEXTS), any_text.filter(lambda name: not secret_word(name))
)


@dataclass(frozen=True, slots=True)
class Case:
    """A payload as JSON text, and whether a request with it is refused as a whole."""

    text: str
    refused: bool = False


def corpus(payloads: int, start: int) -> Iterator[Case]:
    """As many cases: every one of the lists, then mixtures of them and what hypothesis draws."""
    chance = random.Random(start)
    yield Case(TOO_LARGE, refused=True)
    taken = [*TAKEN, *map(json.dumps, TEXTS), *(json.dumps({text: text}) for text in TEXTS)]
    ready = [Case(text) for text in (*LARGE, *taken)]
    ready += [Case(text, refused=True) for text in REFUSED]
    yield from ready
    left = payloads - len(ready) - 1
    bad = [text for text in REFUSED if 0 < len(text) < 10_000]
    for _ in range(left // 2):
        parts = [chance.choice(taken) for _ in range(chance.randrange(1, 4))]
        refused = chance.random() < 0.1
        if refused:
            parts.insert(chance.randrange(len(parts) + 1), chance.choice(bad))
        yield Case(f"[{','.join(parts)}]", refused)
    for value in drawn(left - left // 2, start):
        yield Case(json.dumps(value, ensure_ascii=chance.random() < 0.5), not _is_finite(value))


def drawn(number: int, start: int) -> list[Any]:
    """Values that hypothesis draws."""
    values: list[Any] = []

    @seed(start)
    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(hostile_values)
    def draw(value: Any) -> None:
        values.append(value)

    draw()
    assert len(values) == number
    return values


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


class Altered:
    """What a record holds of a value that was given, and for which reasons it was changed."""

    def __init__(self, value: Any, path: tuple[str, ...] = ()) -> None:
        self.reasons: set[str] = set()
        whole = self._of(value, len(path))
        for name in reversed(path):
            whole = {name: whole}
        encoded = dump_json(whole)
        if len(encoded) > FIELD_BYTES_MAX:
            self.reasons.add("truncated")
            whole = {
                "truncated": True,
                "size_bytes": len(encoded),
                "sha256": hashlib.sha256(encoded).hexdigest(),
                "preview": encoded[:1_024].decode("utf-8", "ignore"),
            }
        self.value = whole

    def _of(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict | list) and depth >= DEPTH_MAX:
            self.reasons.add("too_deep")
            return DEPTH_MARK
        if isinstance(value, list):
            return [self._of(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return self._object(value, depth)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, float) and not math.isfinite(value):
            self.reasons.add("repaired")
            return str(value)
        if isinstance(value, int) and abs(value) >= LONG_INTEGER:
            self.reasons.add("repaired")
            return LONG_INTEGER_MARK
        return value

    def _object(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in value.items():
            name = self.text(str(key))
            if name in made:
                self.reasons.add("repaired")
                name = f"{name} #{len(made)}"
            made[name] = self._of(item, depth + 1)
        return made

    def text(self, value: str) -> str:
        """A text that Postgres can hold."""
        safe = re.sub("[\x00\ud800-\udfff]", "\ufffd", value)
        if safe != value:
            self.reasons.add("repaired")
        return safe

    def cut_text(self, value: str) -> str:
        """A text of a field that is a text: bounded by characters, with a mark."""
        safe = self.text(value)
        if len(safe) <= TEXT_CHARS_MAX:
            return safe
        digest = hashlib.sha256(safe.encode()).hexdigest()
        mark = f"… [cut, {len(safe)} characters in all, sha256 {digest}]"
        return safe[:TEXT_CHARS_MAX] + mark

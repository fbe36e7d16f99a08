"""Secrets told by what they look like: tokens, keys, card numbers and passwords within a text.

A rule replaces the secret part alone. `suspected` says from an encoded payload, in a few
microseconds, which rules have something to do in it; a rule that it leaves out finds nothing there.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from .secret_names import secret_word

MASK = "[redacted: {}]"
MASKED = re.compile(r"\[redacted: [a-z0-9_]+\]")

# Rules are searched for in JSON text too, where a control character, a quote or a backslash within
# a string is written as an escape: no secret has one in it, so that what is found in a string is
# found in its JSON text. PEM, whose secret spans lines, is told by its first line alone.
_VALUE = r"""[^\x00-\x20"'<>\\&;,|(){}\[\]]"""
_QUOTED = r"""[^"'\\\x00-\x1f]"""
# https://github.com/Yelp/detect-secrets/tree/master/detect_secrets/plugins and the providers' docs
_PROVIDERS = {  # nosec B105
    "github_token": r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9]{20}[A-Za-z0-9_]*",
    "gitlab_token": r"glpat-[A-Za-z0-9_.-]{16,}",
    "stripe_key": r"[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}",
    "slack_token": r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    "google_key": r"AIza[A-Za-z0-9_-]{35,}|ya29\.[A-Za-z0-9_-]{16,}",
    "huggingface_token": r"hf_[A-Za-z0-9]{20,}",
    "sendgrid_key": r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "hubspot_token": r"pat-(?:na|eu)[0-9]-[A-Za-z0-9-]{16,}",
    "openai_key": r"sk-(?=[A-Za-z_-]{0,40}[0-9])[A-Za-z0-9_-]{20,}",
    "npm_token": r"npm_[A-Za-z0-9]{30,}",
    "aws_access_key": r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "opsledger_key": r"ops_[a-z0-9-]{1,32}_[0-9a-f]{32,}",
}
# Each begins with one character, so that memchr finds it, and then looks around.
_UNDERSCORE = re.compile(
    rb"_(?:(?=[A-Za-z0-9+/=]{10})(?:(?<=gh[pousr]_)|(?<=hub_pat_)|(?<=k_live_)|(?<=k_test_)"
    rb"|(?<=whsec_)|(?<=hf_)|(?<=npm_)|(?=[0-9a-f]{32})))"
).search
_HYPHEN = re.compile(rb"-(?:(?<=sk-)|(?<=xox[abeoprs]-)|(?<=glpat-)|(?<=pat-)(?=na|eu))").search
_LETTER_A = re.compile(rb"A(?:KIA|SIA|BIA|CCA|Iza)").search
_DOT = re.compile(rb"\.(?:(?<=ya29\.)|(?<=SG\.))").search
_LETTER_B = re.compile(rb"B(?:earer|asic|EARER|ASIC) ").search
_SMALL_B = re.compile(rb"b(?:earer|asic) ").search
_CARD = (
    r"(?<![0-9A-Za-z.])(?P<secret>[0-9]{4}(?P<gap>[ -])[0-9]{4}(?P=gap)[0-9]{4}(?P=gap)[0-9]{4}"
    r"|[0-9]{4}(?P<gap2>[ -])[0-9]{6}(?P=gap2)[0-9]{4,5}"
    r"|[0-9](?:[ -]?[0-9]){12,18})(?![0-9A-Za-z])"
)
_CARD_DATA = re.compile(_CARD.encode())
_DIGITS = bytes(48 if 48 <= code < 58 else code for code in range(256))
_DIGIT_RUN = b"0" * 13
_DIGIT_RUNS = re.compile(rb"[0-9][0-9 -]{11,}[0-9]")
# ISO/IEC 7812 ranges of those who issue cards, and how long their numbers are.
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"
    r"|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}"
    r"|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}|35(?:2[89]|[3-8][0-9])[0-9]{12}|62[0-9]{14,17}"
)
_SEPARATORS = re.compile(rb"=(?<=[\w.'\" -]=)|: |' *:")
_NAME_BACKWARDS = re.compile(rb" *['\"]?([\w.-]{2,100})")
_NO_SECRETS = frozenset({"none", "null", "true", "false", "undefined"})
_COLON_CHARS_MIN = 6

_ESCAPE = re.compile(rb"\\(?:u[0-9a-f]{4}|.)")

Match = re.Match[str] | re.Match[bytes]


@dataclass(frozen=True, slots=True)
class ValueRule:
    """One way in which a secret shows itself within a text.

    Args:
        pattern: finds candidates in a text; its group `secret` is what is replaced.
        search: the pattern's own, which a walk calls for every text.
        hinted: says cheaply of JSON text whether it is worth a closer look.
        found: says of JSON text without escapes whether the rule may find a secret in it.
        label: names the rule that a candidate falls under; None if it is no secret.
    """

    pattern: re.Pattern[str]
    search: Callable[[str], re.Match[str] | None]
    hinted: Callable[[bytes], bool]
    found: Callable[[bytes], bool]
    label: Callable[[Match], str | None]

    def mask(self, value: str) -> str:
        """The value with a mask in the place of each secret that this rule finds."""
        return self.pattern.sub(self._masked, value)

    def _masked(self, found: re.Match[str]) -> str:
        label, whole = self.label(found), found[0]
        if label is None:
            return whole
        start, end = found.start("secret") - found.start(), found.end("secret") - found.start()
        return whole[:start] + MASK.format(label) + whole[end:]


def _rule(
    pattern: str,
    hinted: Callable[[bytes], bool],
    label: str | Callable[[Match], str | None],
    found: Callable[[bytes], bool] | None = None,
) -> ValueRule:
    named = label if callable(label) else lambda _: label
    data = re.compile(pattern.encode())

    def found_by_pattern(text: bytes) -> bool:
        return any(map(named, data.finditer(text)))

    text = re.compile(pattern, re.ASCII)
    return ValueRule(text, text.search, hinted, found or found_by_pattern, named)


def _part(found: Match, group: str | int) -> str:
    part = found[group]
    return part if isinstance(part, str) else part.decode("ascii", "replace")


def _provider_hinted(text: bytes) -> bool:
    return bool(_UNDERSCORE(text) or _HYPHEN(text) or _LETTER_A(text) or _DOT(text))


def _scheme_hinted(text: bytes) -> bool:
    return b" " in text and bool(_SMALL_B(text) or _LETTER_B(text))


def _provider(found: Match) -> str | None:
    groups = found.groupdict()
    return next(name for name in _PROVIDERS if groups[name])


def _digits_hinted(text: bytes) -> bool:
    return _DIGIT_RUN in text.translate(_DIGITS, b" -")


def _card(found: Match) -> str | None:
    digits = _part(found, "secret").replace(" ", "").replace("-", "")
    return "card_number" if is_card_number(digits) else None


def _card_found(text: bytes) -> bool:
    runs = _DIGIT_RUNS.findall(text)
    return any(_card(found) for run in runs for found in _CARD_DATA.finditer(run))


def is_card_number(digits: str) -> bool:
    """Whether digits are of a card's issuer and length, with the check digit right (Luhn)."""
    if not _ISSUERS.fullmatch(digits):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _scheme(found: Match) -> str | None:
    scheme, secret = _part(found, "scheme").lower(), _part(found, "secret")
    if scheme == "bearer":
        return "bearer" if _looks_random(secret) else None
    try:
        decoded = base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True)
    except binascii.Error:
        return None
    return "basic" if b":" in decoded else None


def _looks_random(word: str) -> bool:
    """Whether a word is none of a language: it has digits, signs, or capitals within."""
    return not (word.rstrip(".").replace("-", "").isalpha() and word[1:] == word[1:].lower())


def _named(found: Match) -> str | None:
    name, between, secret = (_part(found, group) for group in ("name", "between", "secret"))
    if secret.lower() in _NO_SECRETS:
        return None
    if "=" not in between and between.strip() == ":":  # "password: must have 8 characters"
        told = len(secret) >= _COLON_CHARS_MIN and any(map(str.isdigit, secret))
        if not told:
            return None
    return secret_word(name)


def _named_hinted(text: bytes) -> bool:
    return (
        b"=" in text
        or b"'" in text
        or (b"\\" in text and (b'\\":' in text or b'\\" :' in text))
        or (b" " in text and b": " in text)
    )


def _named_found(text: bytes) -> bool:
    """Whether a secret's name stands before a sign that gives it a value."""
    for separator in _SEPARATORS.finditer(text):
        start = separator.start()
        name = _NAME_BACKWARDS.match(text[max(0, start - 110) : start][::-1])
        if name and secret_word(name[1][::-1].decode()):
            return True
    return False


VALUE_RULES: tuple[ValueRule, ...] = (
    _rule(
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?!\[redacted)(?P<secret>[\s\S]*?)(?=-----END|\Z)",
        lambda text: b"V" in text and b"PRIVATE KEY" in text,
        "private_key",
    ),
    _rule(
        r"(?<![A-Za-z0-9_-])(?P<secret>eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){2,4})",
        lambda text: b"J" in text and b"eyJ" in text,
        "jwt",
    ),
    _rule(
        r"(?<![A-Za-z0-9])(?P<secret>"
        + "|".join(f"(?P<{name}>{pattern})" for name, pattern in _PROVIDERS.items())
        + ")",
        _provider_hinted,
        _provider,
    ),
    _rule(
        r"(?P<scheme>[Bb](?:earer|asic|EARER|ASIC)) +"
        r"(?P<secret>[A-Za-z0-9._~+/=-]{6,})",
        _scheme_hinted,
        _scheme,
    ),
    _rule(
        r"""://[^\x00-\x20"'<>\\/?#@:]*:(?P<secret>[^\x00-\x20"'<>\\/]+)@""",
        lambda text: b"@" in text and b"/" in text and b"://" in text,
        "url_password",
    ),
    _rule(
        r"""(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{1,99})"""
        r"""(?P<between>["']?\s{0,4}=\s{0,4}["']?|["']\s{0,4}:\s{0,4}["']?|\s{0,4}:\s{1,4}["']?)"""
        rf"""(?P<secret>(?<=["']){_QUOTED}+|(?!=){_VALUE}+)""",
        _named_hinted,
        _named,
        _named_found,
    ),
    CARD_RULE := _rule(_CARD, _digits_hinted, _card, _card_found),
)
IDENTIFIER_RULES = tuple(rule for rule in VALUE_RULES if rule is not CARD_RULE)


def suspected(text: bytes) -> tuple[ValueRule, ...]:
    """The rules that may find a secret in a value, by its JSON text."""
    hinted = [rule for rule in VALUE_RULES if rule.hinted(text)]
    if not hinted:
        return ()
    unescaped = _unescaped(text) if b"\\" in text else text
    return tuple(rule for rule in hinted if rule.found(unescaped))


def mask_text(value: str, rules: tuple[ValueRule, ...] = VALUE_RULES) -> str:
    """The text with a mask in the place of each secret that one of the rules finds in it."""
    for rule in rules:
        if rule.search(value):
            value = rule.mask(value)
    return value


def masked(value: str, rules: tuple[ValueRule, ...] = VALUE_RULES) -> str:
    """What `mask_text` makes of a text, for less where there is nothing to mask."""
    try:
        found = suspected(orjson.dumps(value))
    except TypeError:  # lone surrogates
        found = VALUE_RULES
    return mask_text(value, tuple(rule for rule in found if rule in rules)) if found else value


def _unescaped(text: bytes) -> bytes:
    """JSON text with a quote for each escaped quote, and a space for any other escape."""
    return _ESCAPE.sub(lambda found: b"'" if found[0] == b'\\"' else b" ", text)

"""Secrets told by the name they stand under, whatever its case and separators.

A name is taken apart into words. It names a secret if a run of its words does, and not if it only
measures or describes one: `total_tokens` and `password_changed_at` hold none.
"""

import re
from functools import lru_cache

# Words also found at the end of a longer one, as in "dbpassword". Compared with the default lists
# of Sentry's scrubber, logfire, detect-secrets and Stripe's; "session" and "auth" alone are theirs
# too, but mostly name something else in business data.
SECRET_ENDINGS = (
    *("password", "passwd", "passphrase", "secret", "token", "authorization", "cookie"),
    *("credential", "api key", "private key", "access key", "session id", "session key"),
    *("card number", "credit card", "social security", "connection string", "php sessid"),
)
# Words that count by themselves alone, since many others end like them.
SECRET_WORDS = (
    *("pwd", "ssn", "cvv", "cvc", "cvv2", "cvc2", "otp", "totp", "iban", "bearer", "jwt", "dsn"),
    *("csrf", "xsrf", "card no", "pin code", "mfa code", "otp code", "security code", "card pin"),
    *("encryption key", "signing key", "master key", "account key", "ssh key", "connect sid"),
    *("recovery code", "recovery codes", "backup codes", "passport number"),
)
SECRET_LAST_WORDS = ("pin", "pass", "auth", "oauth")  # "pin_x" and "pass_rate" are other things
# A name that ends so tells about a secret: how many, how long, since when, whether.
MEASURING_WORDS = frozenset(
    {
        *("count", "counts", "limit", "length", "size", "bytes", "type", "kind", "usage"),
        *("used", "expiry", "expires", "at", "in", "on", "until", "date", "ttl", "age"),
        *("days", "seconds", "minutes", "ms", "policy", "consent", "banner"),
        *("preference", "preferences", "strength", "enabled", "disabled", "required"),
        *("valid", "verified", "exists", "present", "missing", "status", "format"),
        *("version", "algorithm", "name", "endpoint", "scope", "scopes", "details"),
    }
)
QUESTIONS = frozenset({"is", "has", "requires", "needs"})
# Of what a language model reads and writes: with one of these, "tokens" are counted.
COUNTING_WORDS = frozenset(
    {
        *("total", "max", "min", "num", "n", "number", "count", "used", "remaining"),
        *("prompt", "completion", "input", "output", "cached", "reasoning", "context"),
        *("audio", "text", "image", "budget", "per", "avg", "average", "thinking"),
    }
)
# A name that ends so says that a number is no card's, however much it looks like one's.
NUMBERING_WORDS = frozenset(
    {
        *(
            "id",
            "ids",
            "uid",
            "gid",
            "oid",
            "pk",
            "seq",
            "sequence",
            "offset",
            "cursor",
            "position",
        ),
        *("timestamp", "ts", "time", "at", "ns", "nanos", "us", "micros", "ms", "millis"),
        *("imei", "isbn", "gtin", "ean", "upc", "sku"),
    }
)
NUMBERED_THINGS = frozenset(
    {"order", "invoice", "tracking", "ticket", "case", "serial", "reference", "shipment"}
)
CARD_WORDS = frozenset({"card", "cards", "cc", "pan", "credit", "debit", "payment"})
RUN_WORDS_MAX = 3
PLAIN_WORD = re.compile(r"[a-z]+|[0-9]+")
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
CACHED_NAME_CHARS_MAX = 100  # longer names are rare, and callers could fill the memory with them

_ENDINGS = tuple(phrase.replace(" ", "") for phrase in SECRET_ENDINGS)
_RUNS = {
    spelled: run
    for run in (*_ENDINGS, *(phrase.replace(" ", "") for phrase in SECRET_WORDS))
    for spelled in (run, run + "s")
}
_LAST = frozenset(SECRET_LAST_WORDS)


def secret_word(name: str) -> str | None:
    """The secret word that a name holds, or None."""
    if len(name) <= CACHED_NAME_CHARS_MAX:
        return cached_secret_word(name)
    return cached_secret_word.__wrapped__(name)


@lru_cache(maxsize=4096)
def cached_secret_word(name: str) -> str | None:
    """What `secret_word` says of names that are not too long to be remembered."""
    words = [word.lower() for word in WORD.findall(name)]
    # Neither "authorizatiOn" measures anything, which ends like a measure, nor asks "hasH_token".
    spelled = all(len(word) > 1 or word.isdigit() for word in words)
    if spelled and _measures(words) and _names_one(words):
        return None
    return _secret_among(words) or _secret_among(PLAIN_WORD.findall(name.lower()))


def names_number(name: str) -> bool:
    """Whether a name says that a long number under it is an id, a moment or a position."""
    words = [word.lower() for word in WORD.findall(name)]
    if not words or not CARD_WORDS.isdisjoint(words):
        return False
    if words[-1] in ("number", "no"):
        return words[-2:-1] != [] and words[-2] in NUMBERED_THINGS
    return words[-1] in NUMBERING_WORDS


def letters_of(name: str) -> str:
    """A name without case and separators: by these two names are the same."""
    return "".join(PLAIN_WORD.findall(name.lower()))


def holds_secret_letters(text: str) -> bool:
    """Whether a text has a secret's name anywhere in it, were it part of a longer word."""
    letters = letters_of(text)
    return any(ending in letters for ending in _ENDINGS)


def _measures(words: list[str]) -> bool:
    """Whether the words tell about a secret, or count what a language model reads and writes."""
    if not words or words[-1] in MEASURING_WORDS or words[0] in QUESTIONS:
        return True
    return "tokens" in words and not COUNTING_WORDS.isdisjoint(words)


def _names_one(words: list[str]) -> bool:
    """Whether what is measured or asked for is a secret."""
    return any(map(_secret_among, (words[1:], words[:-1]))) or "tokens" in words


def _secret_among(words: list[str]) -> str | None:
    if _measures(words):
        return None
    if words[-1] in _LAST:
        return words[-1]
    for length in range(1, RUN_WORDS_MAX + 1):
        for start in range(len(words) - length + 1):
            found = _RUNS.get("".join(words[start : start + length]))
            if found:
                return found
    joined = "".join(words)
    return next((end for end in _ENDINGS if joined.endswith((end, end + "s"))), None)

"""Secrets told by what they look like: what is one, and what only looks similar."""

import time

import orjson
import pytest

from app.domain.secret_values import is_card_number, mask_text, suspected

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc.DEF-123", "Authorization: Bearer [redacted: bearer]"),
        ("BEARER  abc123 again", "BEARER  [redacted: bearer] again"),
        ("basic dXNlcjpwYXNz", "basic [redacted: basic]"),
        ("t=eyJhbGciOiJub25lIn0.eyJhIjoxfQ.", "t=[redacted: jwt]"),
        ("eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "[redacted: jwt]"),
        (
            "-----BEGIN EC PRIVATE KEY-----\nb3Blb\n-----END EC PRIVATE KEY-----\n",
            "-----BEGIN EC PRIVATE KEY-----[redacted: private_key]-----END EC PRIVATE KEY-----\n",
        ),
        ("-----BEGIN PRIVATE KEY-----\ncut", "-----BEGIN PRIVATE KEY-----[redacted: private_key]"),
        ("card 4111111111111111.", "card [redacted: card_number]."),
        ("4111 1111 1111 1111 12/27", "[redacted: card_number] 12/27"),
        ("3782-822463-10005", "[redacted: card_number]"),
        ("key=ASIAIOSFODNN7EXAMPLE", "key=[redacted: aws_access_key]"),
        ("github_pat_" + "1" * 22 + "_x", "[redacted: github_token]"),
        ("gho_" + "a" * 36, "[redacted: github_token]"),
        ("rk_live_" + "a1" * 12, "[redacted: stripe_key]"),
        ("whsec_" + "a1+/" * 8, "[redacted: stripe_key]"),
        ("xoxp-1-2-abcdefghijkl", "[redacted: slack_token]"),
        ("ya29." + "a0Af" * 6, "[redacted: google_key]"),
        ("glpat-" + "x" * 20, "[redacted: gitlab_token]"),
        ("hf_" + "aB" * 17, "[redacted: huggingface_token]"),
        ("SG." + "a" * 22 + "." + "b" * 43, "[redacted: sendgrid_key]"),
        ("pat-na1-" + "0a1b-" * 7, "[redacted: hubspot_token]"),
        ("npm_" + "a1" * 18, "[redacted: npm_token]"),
        (f"ops_live_{HEX}", "[redacted: opsledger_key]"),
        ("amqp://me:p@ss@rabbit:5672", "amqp://me:[redacted: url_password]@rabbit:5672"),
        ("redis://:hunter2@cache/0", "redis://:[redacted: url_password]@cache/0"),
        ("/x?a=1&access_token=hunter2&b=2", "/x?a=1&access_token=[redacted: token]&b=2"),
        ("password = hunter2, retry", "password = [redacted: password], retry"),
        ('{"apiKey": "hunter 2"}', '{"apiKey": "[redacted: apikey]"}'),
        ("X-Api-Key: hunter2", "X-Api-Key: [redacted: apikey]"),
    ],
)
def test_the_secret_part_alone_is_masked(text: str, masked: str) -> None:
    """With a word for the rule; and what is masked stays so."""
    assert mask_text(text) == masked
    assert mask_text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        *(
            "bearer responsibilities",
            "the bearer of news",
            "Basic authentication",
            "basic plan2024",
        ),
        *("1700000000000", "9007199254740993", "4111111111111112", "1234567890123456789"),
        *("018f2c3e-7a6b-7c1d-8e2f-0123456789ab", "a4111111111111111", "4111111111111111f"),
        *("https://user@host/x", "http://host:80/a@b", "mail a@b.example: 10:30"),
        *("max_tokens=500&page=2", "password: must have 8 characters", "token=null", "a==b"),
        *("AKIAshort", "ghp_short", "sk-learn-is-a-library-of-many", "task-list-of-2026-11-23-000"),
        *(
            "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----",
            "eyJust a word",
            "[redacted: jwt]",
        ),
    ],
)
def test_what_only_looks_similar_stays(text: str) -> None:
    """Ids, prose, times, public keys, counts."""
    assert mask_text(text) == text


@pytest.mark.parametrize("number", ["4222222222222", "5105105105105100", "2223003122003222"])
def test_card_numbers_of_known_issuers_are_recognised(number: str) -> None:
    """Test numbers that payment providers publish; one digit off is none."""
    assert is_card_number(number)
    assert not is_card_number(number[:-1] + str((int(number[-1]) + 1) % 10))


@pytest.mark.parametrize(
    "text",
    [
        *("eyJ" * 300_000, "-eyJ" * 200_000, "sk-" * 300_000, "1" * 900_000, "1 " * 450_000),
        *(
            "a=" * 300_000,
            "://a:" * 200_000,
            "-----BEGIN PRIVATE KEY " * 40_000,
            "Bearer " * 120_000,
        ),
        *("'" * 900_000, "a.b" * 300_000, "=" * 900_000, "a" * 900_000 + "=", "4111-" * 180_000),
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.timeout(60)
def test_no_text_makes_the_search_slow(text: str) -> None:
    """Each pattern is linear: a hostile megabyte takes seconds at the very worst, not hours."""
    started = time.process_time()
    suspected(orjson.dumps([text]))
    mask_text(text)
    assert time.process_time() - started < 10

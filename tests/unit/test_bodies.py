"""Compressed bodies: inflated whole, or refused before they take more room than allowed."""

import gzip
import time
import tracemalloc
import zlib

import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.bodies import GZIP_MEMBERS_MAX, inflate
from app.errors import InvalidInput

MAX = 100_000


@pytest.mark.parametrize("size", [0, 1, 1000, MAX - 1, MAX])
def test_what_fits_comes_out_whole(size: int) -> None:
    """Up to the bound itself."""
    plain = b"x" * size
    assert inflate(gzip.compress(plain), MAX) == plain


def test_several_members_are_one_text() -> None:
    """RFC 1952: members simply follow each other; empty ones too."""
    parts = [b"[1,", b"", b"2]"]
    assert inflate(b"".join(map(gzip.compress, parts)), MAX) == b"[1,2]"


@pytest.mark.parametrize("parts", [[MAX + 1], [MAX, 1], [MAX // 2, MAX // 2 + 1]])
def test_what_does_not_fit_is_refused(parts: list[int]) -> None:
    """By one byte, in one member or over several."""
    body = b"".join(gzip.compress(b"x" * size) for size in parts)
    with pytest.raises(RequestEntityTooLarge):
        inflate(body, MAX)


def test_a_bomb_is_never_inflated() -> None:
    """A gigabyte behind a megabyte: the memory stays near the bound."""
    deflate = zlib.compressobj(wbits=31)
    block = bytes(1 << 20)
    bomb = b"".join(deflate.compress(block) for _ in range(1024)) + deflate.flush()
    assert len(bomb) < 2 << 20
    tracemalloc.start()
    try:
        with pytest.raises(RequestEntityTooLarge):
            inflate(bomb, MAX)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(bomb) + 10 * MAX


def test_a_body_of_very_many_members_is_refused_at_once() -> None:
    """Each costs a copy of all that follow it."""
    started = time.monotonic()
    with pytest.raises(InvalidInput, match=f"1 to {GZIP_MEMBERS_MAX} members"):
        inflate(gzip.compress(b"") * 200_000, MAX)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        gzip.compress(b"[]")[:-1],
        gzip.compress(b"[]")[:-8] + bytes(8),
        gzip.compress(b"[]") + b"more",
        zlib.compress(b"[]"),
        gzip.compress(b"[]")[:5],
    ],
    ids=["empty", "plain", "cut", "checksum", "trailing", "zlib", "header only"],
)
def test_what_is_no_gzip_is_refused(body: bytes) -> None:
    """By name."""
    with pytest.raises(InvalidInput, match="body: is not valid gzip"):
        inflate(body, MAX)

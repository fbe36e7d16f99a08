"""Bodies of many records: how they come in, plain or compressed, within bounds.

Neither what is sent nor what it inflates to is ever held beyond the bound.
"""

import zlib
from typing import Any

import flask
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from ..errors import FieldError, InvalidInput
from .parsing import parse_json, require_json

BATCH_RECORDS_MAX = 1_000
BATCH_BYTES_MAX = 5_000_000  # as sent, and again once inflated
GZIP = zlib.MAX_WBITS | 16  # wbits that make zlib read the gzip format
GZIP_MEMBERS_MAX = 32  # of one body; each costs a copy of the rest, so many would cost hours


def read_batch(request: flask.Request) -> list[Any]:
    """The JSON array of a request's body, compressed by gzip or not.

    Raises:
        InvalidInput: it is no JSON array, or has no records, or too many.
        RequestEntityTooLarge: it is too large, as sent or inflated.
        UnsupportedMediaType: it is of another type or encoding.
    """
    require_json(request)
    items = parse_json(read_inflated(request))
    if not isinstance(items, list):
        raise InvalidInput(FieldError("body", "must be a JSON array of records"))
    if not 1 <= len(items) <= BATCH_RECORDS_MAX:
        rule = f"must have 1 to {BATCH_RECORDS_MAX} records, not {len(items)}"
        raise InvalidInput(FieldError("body", rule))
    return items


def read_inflated(request: flask.Request) -> bytes:
    """A request's body, compressed by gzip or not.

    Raises:
        InvalidInput: it is not whole gzip members.
        RequestEntityTooLarge: it is too large, as sent or inflated.
        UnsupportedMediaType: it is of another encoding.
    """
    request.max_content_length = BATCH_BYTES_MAX
    encoding = (request.content_encoding or "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise UnsupportedMediaType("The body may be compressed by gzip: Content-Encoding: gzip")
    body = request.get_data(cache=False)
    return body if encoding == "identity" else inflate(body, BATCH_BYTES_MAX)


def inflate(body: bytes, bytes_max: int) -> bytes:
    """What gzip compressed; it stops at the bound, whatever is still to come.

    Raises:
        InvalidInput: the body is not whole gzip members.
        RequestEntityTooLarge: it inflates to more than `bytes_max` bytes.
    """
    inflated = bytearray()
    rest, members = body, 0
    while rest or not members:
        members += 1
        inflater = zlib.decompressobj(wbits=GZIP)
        try:
            inflated += inflater.decompress(rest, bytes_max + 1 - len(inflated))
        except zlib.error as error:
            raise InvalidInput(FieldError("body", f"is not valid gzip: {error}")) from error
        if len(inflated) > bytes_max:
            raise RequestEntityTooLarge
        if not inflater.eof or members > GZIP_MEMBERS_MAX:
            rule = f"is not valid gzip: 1 to {GZIP_MEMBERS_MAX} members, each with its end"
            raise InvalidInput(FieldError("body", rule))
        rest = inflater.unused_data
    return bytes(inflated)

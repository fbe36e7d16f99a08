"""Where a reader of a tail stands: in which batch, and after which of its records.

A batch is named by its id and not by its seq, which counts the batches of all tenants.
"""

from dataclasses import dataclass
from uuid import UUID

from .filters import Filters, open_cursor, seal_cursor
from .identity import is_record_id

BEFORE_ALL = UUID(int=0)
AFTER_ALL = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Position:
    """After the record `last_id` of a batch; BEFORE_ALL and AFTER_ALL are its two ends.

    Without a batch it is the very beginning, before any.
    """

    batch_id: UUID | None = None
    last_id: UUID = BEFORE_ALL


START = Position()


def encode_position(position: Position, filters: Filters, scope: str) -> str:
    """The opaque cursor that goes on from a position, bound to the filters and the scope."""
    batch_id = position.batch_id or BEFORE_ALL
    return seal_cursor(batch_id.bytes + position.last_id.bytes, filters, scope)


def decode_position(cursor: str, filters: Filters, scope: str) -> Position:
    """The position that a cursor holds.

    Raises:
        InvalidInput: the cursor is damaged, or was made for another list.
    """
    return open_cursor(cursor, filters, scope, _read_position)


def _read_position(place: bytes) -> Position | None:
    if len(place) != 32:
        return None
    batch_id, last_id = UUID(bytes=place[:16]), UUID(bytes=place[16:])
    if batch_id == last_id == BEFORE_ALL:
        return START
    known = last_id in (BEFORE_ALL, AFTER_ALL) or is_record_id(last_id)
    return Position(batch_id, last_id) if known and is_record_id(batch_id) else None

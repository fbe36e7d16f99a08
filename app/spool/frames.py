"""The frames of a spool file: length, checksum and bytes of a record, one after the other.

A frame is valid or it is not; after bytes that are not, the next valid one is found again.
"""

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

FRAME_HEADER = struct.Struct("<II")  # payload length in bytes, checksum of the payload
FRAME_BYTES_MAX = 4 * 1024 * 1024  # sanity bound: a longer length is damage, not a record
CHECKSUM_SEED = 0x4F70734C  # so that zeros, as a power failure leaves them, are no valid frame
SEARCH_BYTES_MAX = 64 * 1024 * 1024  # how far behind damage the next frame is looked for
SEARCH_CHECKED_MAX = 256 * 1024 * 1024  # bytes checksummed meanwhile: about a quarter of a second

ZEROS = re.compile(rb"\x00+")

Read = Callable[[int, int], bytes]  # so many bytes from an offset on, fewer at the file's end


@dataclass(frozen=True, slots=True)
class Survey:
    """What a spool file holds: whole frames up to `size` but for the holes, then `tail` bytes."""

    frames: int
    size: int
    holes: tuple[tuple[int, int], ...]
    tail: int
    torn: bool  # whether the tail looks like a frame that a crash left unfinished

    @property
    def damaged(self) -> tuple[tuple[int, int], ...]:
        """The places that are not as they were written, as offsets from and to."""
        last = () if self.torn or not self.tail else ((self.size, self.size + self.tail),)
        return (*self.holes, *last)


def pack(payload: bytes) -> bytes:
    """The frame of a record."""
    return FRAME_HEADER.pack(len(payload), zlib.crc32(payload, CHECKSUM_SEED)) + payload


def parse(window: bytes, rows_max: int) -> tuple[list[bytes], int]:
    """The payloads of the valid frames a window begins with, and the offset behind the last."""
    payloads: list[bytes] = []
    position = 0
    while len(payloads) < rows_max and (end := _end_of(window, position)):
        payloads.append(window[position + FRAME_HEADER.size : end])
        position = end
    return payloads, position


def find(read: Read, start: int, length: int) -> int | None:
    """Where the next valid frame begins, past the invalid one at `start`; None if nowhere.

    The length of a frame has a zero as its last byte, and an encoded record has none: no record
    can be mistaken for a frame, and most bytes need no look.
    """
    window = read(start, min(length - start, SEARCH_BYTES_MAX))
    checked = 0
    for run in ZEROS.finditer(window, 4):
        # Of many zeros only the last can belong to a length: what follows is its checksum.
        for zero in range(max(run.start(), run.end() - 4), run.end()):
            if _end_of(window, zero - 3):
                return start + zero - 3
            checked += _claimed(window, zero - 3) + FRAME_HEADER.size
        if checked > SEARCH_CHECKED_MAX:
            break
    return None


def _claimed(window: bytes, position: int) -> int:
    """The bytes that were checksummed for a frame that is none."""
    if position + FRAME_HEADER.size > len(window):
        return 0
    claimed: int = FRAME_HEADER.unpack_from(window, position)[0]
    return claimed if claimed <= FRAME_BYTES_MAX and position + claimed <= len(window) else 0


def survey(read: Read, length: int) -> Survey:
    """Read a file from its beginning to `length`, checking every frame."""
    frames = position = 0
    holes: list[tuple[int, int]] = []
    while position < length:
        payloads, end = parse(read(position, min(length - position, FRAME_BYTES_MAX)), length)
        if payloads:
            frames += len(payloads)
            position += end
            continue
        following = find(read, position, length)
        if following is None:
            break
        holes.append((position, following))
        position = following
    tail = length - position
    header = read(position, FRAME_HEADER.size)
    return Survey(frames, position, tuple(holes), tail, _looks_torn(header, tail))


def _looks_torn(header: bytes, tail: int) -> bool:
    if len(header) < FRAME_HEADER.size:
        return True
    claimed = FRAME_HEADER.unpack(header)[0]
    return bool(claimed <= FRAME_BYTES_MAX and FRAME_HEADER.size + claimed >= tail)


def _end_of(window: bytes, position: int) -> int:
    """The offset behind the valid frame at a position; 0 if there is none."""
    body = position + FRAME_HEADER.size
    if body > len(window):
        return 0
    size, checksum = FRAME_HEADER.unpack_from(window, position)
    end: int = body + size
    if size > FRAME_BYTES_MAX or end > len(window):
        return 0
    return end if zlib.crc32(memoryview(window)[body:end], CHECKSUM_SEED) == checksum else 0

"""The bytes of rollups: each unit of a tally as its arrays, packed, little-endian, sorted by cell.

Times are kept from the start of the unit, so that 32 bits hold them, even those of a month.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .tally import BUCKET, CELL, SLOW, Array, Tally

PACKED_CELL = np.dtype(
    [
        *(("cell", "<u4"), ("count", "<u8"), ("total_ms", "<u8")),
        *(("first", "<u4"), ("last", "<u4"), ("top", "<u2")),
    ]
)
PACKED_BUCKET = np.dtype([("cell", "<u4"), ("bucket", "<u2"), ("count", "<u4")])
PACKED_SLOW = np.dtype([("cell", "<u4"), ("ms", "<u4"), ("high", "<u8"), ("low", "<u8")])
_OFFSETS = ("first", "last")  # kept from the start of the unit


@dataclass(frozen=True, slots=True)
class PackedUnit:
    """One unit of time of a tally: the numbers of its cells, and its arrays as bytes."""

    start: int
    numbers: list[int]
    cells: bytes
    histograms: bytes
    slowest: bytes


def pack(tally: Tally) -> Iterator[PackedUnit]:
    """The units of a tally, oldest first.

    Raises:
        OverflowError: a count is larger than its place; it is not cut.
    """
    packed = (
        _packed(tally.cells, PACKED_CELL),
        _packed(tally.buckets, PACKED_BUCKET),
        _packed(tally.slowest, PACKED_SLOW),
    )
    starts = np.unique(tally.cells["start"])
    bounds = [
        np.searchsorted(part["start"], [*starts, np.iinfo(np.int64).max]) for part in tally.parts
    ]
    for place, start in enumerate(starts):
        cells, buckets, slow = (
            part[bound[place] : bound[place + 1]]
            for part, bound in zip(packed, bounds, strict=True)
        )
        numbers = cells["cell"].tolist()
        yield PackedUnit(int(start), numbers, cells.tobytes(), buckets.tobytes(), slow.tobytes())


def unpack(
    starts: Sequence[int],
    cells: Sequence[bytes] | None = None,
    histograms: Sequence[bytes] | None = None,
    slowest: Sequence[bytes] | None = None,
) -> Tally:
    """The tally of units, from the time each starts and its bytes; what is not given is empty."""
    return Tally(
        _unpacked(starts, cells or (), PACKED_CELL, CELL),
        _unpacked(starts, histograms or (), PACKED_BUCKET, BUCKET),
        _unpacked(starts, slowest or (), PACKED_SLOW, SLOW),
    )


def _packed(part: Array, dtype: np.dtype[Any]) -> Array:
    packed = np.empty(len(part), dtype=dtype)
    for name in dtype.names or ():
        values = part[name] - part["start"] if name in _OFFSETS else part[name]
        if len(values) and values.max() > np.iinfo(dtype[name]).max:
            raise OverflowError(f"{name} {values.max()} does not fit into a rollup")
        packed[name] = values
    return packed


def _unpacked(
    starts: Sequence[int], parts: Sequence[bytes], packed: np.dtype[Any], dtype: np.dtype[Any]
) -> Array:
    found = np.frombuffer(b"".join(parts), dtype=packed)
    result = np.empty(len(found), dtype=dtype)
    lengths = [len(part) // packed.itemsize for part in parts]
    result["start"] = np.repeat(np.asarray(starts, dtype=np.int64), lengths) if parts else 0
    for name in packed.names or ():
        result[name] = found[name]
    for name in _OFFSETS:
        if name in (packed.names or ()):
            result[name] += result["start"]
    return result

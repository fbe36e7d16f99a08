"""One delivery: records go to a sink in parts it can take, and each is accounted for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from ..domain.forwarding import Outgoing
from ..errors import SinkError
from ..sinks import Sink

# So many records refused and none taken means that it is not about the records.
REFUSED_MAX = 20


@dataclass(slots=True)
class Delivery:
    """What became of records.

    Args:
        keep: called before each part is sent, so that the lease outlasts it.
    """

    sink: Sink
    keep: Callable[[], None]
    rows_max: int
    accepted: set[UUID] = field(default_factory=set)
    refused: dict[UUID, str] = field(default_factory=dict)
    error: SinkError | None = None

    def send(self, records: Sequence[Outgoing]) -> None:
        """Send records, part by part; `error` says what ended it before all were sent."""
        try:
            for part in parts(records, self.sink, self.rows_max, self.refused):
                self._send(part)
        except SinkError as error:
            self.error = error

    def _send(self, part: Sequence[Outgoing]) -> None:
        self.keep()
        try:
            receipt = self.sink.deliver(part)
        except SinkError as error:
            if not error.permanent:
                raise
            self._part(part, error)
            return
        named = receipt.refused.keys() | receipt.again.keys()
        self.accepted |= {record.id for record in part if record.id not in named}
        for record_id, words in receipt.refused.items():
            self._refuse(record_id, words)
        if receipt.again:
            words = next(iter(receipt.again.values()))
            raise SinkError(f"{len(receipt.again)} of {len(part)} not taken for now: {words}")

    def _part(self, part: Sequence[Outgoing], error: SinkError) -> None:
        """Find what a refused part was refused for, by halving."""
        if len(part) == 1:
            self._refuse(part[0].id, error.detail)
            return
        middle = len(part) // 2
        self._send(part[:middle])
        self._send(part[middle:])

    def _refuse(self, record_id: UUID, words: str) -> None:
        self.refused[record_id] = words
        if not self.accepted and len(self.refused) >= REFUSED_MAX:
            self.refused.clear()
            raise SinkError(f"It refuses whatever it is sent: {words}", denied=True)


def parts(
    records: Sequence[Outgoing], sink: Sink, rows_max: int, refused: dict[UUID, str]
) -> Iterator[list[Outgoing]]:
    """The records in parts within the bounds of a sink; one that is too large is refused."""
    part: list[Outgoing] = []
    size = 0
    for record in records:
        length = len(record.body)
        if length > sink.record_bytes_max:
            refused[record.id] = f"it has {length} bytes, more than {sink.record_bytes_max}"
            continue
        if part and (len(part) >= min(sink.rows_max, rows_max) or size + length > sink.bytes_max):
            yield part
            part, size = [], 0
        part.append(record)
        size += length
    if part:
        yield part

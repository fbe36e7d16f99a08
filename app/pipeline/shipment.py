"""Reading a shipment: its records by their heads, and letters of the lines that are none.

Nothing is put right in silence: a line is taken as it came, or set aside as it came.
"""

from uuid import UUID

from ..domain.codec import Head, check, read_head
from ..domain.records import Kind
from ..store.batches import DeadLetter

RecordKey = tuple[str, Kind, str]  # tenant, kind and id: an id alone could be another tenant's


def read_shipment(body: bytes) -> tuple[list[Head], list[DeadLetter]]:
    """The heads of a shipment's records, each record once, and letters of lines without a head."""
    heads: dict[RecordKey, Head] = {}
    broken: list[DeadLetter] = []
    try:
        lines = body.decode().split("\n")
    except UnicodeDecodeError:
        lines, broken = _readable(body)
    for line in lines:
        try:
            head = read_head(line)
        except ValueError as error:
            broken.append(DeadLetter(payload=line.encode(), reason=str(error)))
            continue
        heads.setdefault(identity(head), head)
    return list(heads.values()), broken


def look_closer(heads: list[Head]) -> tuple[list[Head], list[DeadLetter]]:
    """The heads of records that keep the rules of their kind, and letters of those that do not."""
    sound: list[Head] = []
    refused: list[DeadLetter] = []
    for head in heads:
        try:
            check(head.line)
        except ValueError as error:
            refused.append(letter_of(head, str(error)))
        else:
            sound.append(head)
    return sound, refused


def letter_of(head: Head, reason: str) -> DeadLetter:
    """The letter of a record that cannot be stored."""
    return DeadLetter(
        payload=head.line,
        reason=reason,
        tenant_id=_uuid(head.tenant_id),
        kind=head.kind,
        record_id=_uuid(head.id),
    )


def identity(head: Head) -> RecordKey:
    """What tells a record from every other."""
    return head.tenant_id, head.kind, head.id


def _readable(body: bytes) -> tuple[list[str], list[DeadLetter]]:
    lines: list[str] = []
    broken: list[DeadLetter] = []
    for line in body.split(b"\n"):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: {error.reason} at byte {error.start}"
            broken.append(DeadLetter(payload=line, reason=reason))
    return lines, broken


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

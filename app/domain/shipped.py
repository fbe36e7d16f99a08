"""Records as items of the ingest API: how a line of the spool is sent to another Opsledger.

What a line carries as JSON is handed on as it is; nothing of it is read.
"""

from collections.abc import Iterator, Sequence

from .codec import COLUMNS, JSON_COLUMNS, KINDS, NULL, dump_json, unescape

IMPLIED = "created_at"  # the id's millisecond
BARE_COLUMNS = JSON_COLUMNS | {"execution_time_ms"}  # their cells are JSON already

ITEMS_MAX = 1_000  # of one request, as the ingest API has it
BYTES_MAX = 4_500_000  # of one request before it is compressed; the ingest API takes 5,000,000


def item_of(line: bytes) -> bytes:
    """The JSON object of a record's line, with its kind.

    Raises:
        ValueError: the line is not a record of a known kind.
    """
    letter, *cells = line.decode().split("\t")
    kind = KINDS.get(letter)
    if kind is None or len(cells) != len(COLUMNS[kind]):
        raise ValueError("not a record: no such kind, or not as many cells as it has")
    members = [f'"kind":"{kind.value}"']
    for name, cell in zip(COLUMNS[kind], cells, strict=True):
        if cell == NULL or name == IMPLIED:
            continue
        text = unescape(cell)
        members.append(f'"{name}":{text if name in BARE_COLUMNS else dump_json(text).decode()}')
    return f"{{{','.join(members)}}}".encode()


def parts(items: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Items in requests of a size that is taken; always the same for the same items."""
    part: list[bytes] = []
    size = 0
    for item in items:
        if part and (len(part) == ITEMS_MAX or size + len(item) > BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item) + 1
    if part:
        yield part

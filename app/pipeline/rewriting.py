"""Rewriting a segment of the archive: some of its records are changed or left out.

The new segment is an object of its own name, read back and compared before anybody registers it;
the old one is deleted only when the register does not have it any more.
"""

from collections.abc import Callable, Iterator
from typing import Any

from uuid_utils.compat import uuid7

from ..domain.archive import Segment
from ..store.objects import Objects
from ..store.purge import left_objects, note_deleted
from ..store.session import Database
from .sweeping import sweep

Row = dict[str, Any]
Change = Callable[[Row], Row | None]


def rewrite(
    database: Database, objects: Objects, segment: Segment, change: Change
) -> Segment | None:
    """A verified segment of what `change` leaves of another's records; None if that is nothing.

    Raises:
        ArchiveDamaged: the old object is not what was written, or the new one is not.
        OSError: the archive did not take the new one.
    """
    # Of the many processes that know how to rewrite, only one loads Arrow.
    from ..store.segment_file import copy_rows, verify, writing

    sweep(database, objects, segment.of)
    segment_id = uuid7()
    path = objects.scratch / f"{segment_id}.parquet"
    with objects.fetched(segment.key) as found:
        verify(found, segment.of, segment.content)
        with writing(path, segment.of, segment.content.row_count) as writer:
            copy_rows(found, segment.of.kind, writer, change)
            content = writer.close()
    if not content.row_count:
        path.unlink()
        return None
    made = Segment(id=segment_id, of=segment.of, content=content)
    objects.put(made.key, path)
    with objects.fetched(made.key) as found:
        verify(found, made.of, content)
    return made


def read_segment(objects: Objects, segment: Segment) -> Iterator[Row]:
    """The records of a segment, in order.

    Raises:
        ArchiveDamaged: the object is not there, or is not what was written.
    """
    from ..store.segment_file import read_rows, verify

    with objects.fetched(segment.key) as found:
        verify(found, segment.of, segment.content)
        yield from read_rows(found, segment.of.kind)


def delete_left(database: Database, objects: Objects) -> int:
    """Delete the objects that the register does not have any more; returns how many."""
    with database.unrestricted_unsafe() as session:
        keys = left_objects(session)
    for key in keys:
        objects.delete(key)
    if keys:
        with database.unrestricted_unsafe() as session:
            note_deleted(session, keys)
    return len(keys)

"""The bound of a record as a whole: past it the largest JSON fields give way to marks."""

from dataclasses import replace
from typing import Any

from .cleaning import Alterations, truncated
from .codec import JSON_COLUMNS, dump_json
from .records import JsonText, Record

MARK_BYTES_MAX = 8 * 1024  # a preview of 1,024 characters, each of which may be escaped twice
ORIGIN = ("http", "ingest", "cleaned")  # what metadata that are cut keep: where they came from
NOTES_KEPT = 10  # of one reason


def shortened(record: Record, excess: int) -> Record:
    """The record with marks for its largest JSON fields, by at least `excess` bytes shorter.

    Args:
        excess: how much too long the record's line is, in bytes; all JSON fields are cut where
            that is not to be reached.
    """
    texts = {name: _text(getattr(record, name, None)) for name in JSON_COLUMNS}
    sizes = {name: len(text) + text.count(b"\\") for name, text in texts.items()}
    changes: dict[str, Any] = {"metadata": record.metadata}
    cut = Alterations()
    for name in sorted(sizes, key=lambda each: -sizes[each]):
        if excess <= 0 or sizes[name] <= MARK_BYTES_MAX:
            break
        changes[name] = truncated(texts[name], name, cut)
        excess -= sizes[name] - MARK_BYTES_MAX
    if "metadata" in cut.paths.get("truncated", ()):
        kept = {name: record.metadata[name] for name in ORIGIN if name in record.metadata}
        changes["metadata"] = {**changes["metadata"], **kept}
    changes["metadata"] = _noted(changes["metadata"], cut)
    return replace(record, **changes)


def _text(value: Any) -> bytes:
    if value is None:
        return b""
    return value if isinstance(value, JsonText) else dump_json(value)


def _noted(metadata: dict[str, Any], cut: Alterations) -> dict[str, Any]:
    before = Alterations.noted_in(metadata).paths
    notes = {reason: paths[:NOTES_KEPT] for reason, paths in before.items()}
    notes["truncated"] = [*notes.get("truncated", ()), *cut.paths.get("truncated", ())]
    return {**metadata, "cleaned": notes}

"""The on-disk queue of this host: a record appended here survives the death of its process.

Each process appends to a file of its own, so no two processes ever contend; a file whose process
is gone (the kernel released its lock) is adopted by a living one.
"""

from .folder import BACKLOG_BYTES, Shipment, Spool
from .inspection import FileReport, SpoolStatus, count_records, spool_status, verify

__all__ = [
    "BACKLOG_BYTES",
    "FileReport",
    "Shipment",
    "Spool",
    "SpoolStatus",
    "count_records",
    "spool_status",
    "verify",
]

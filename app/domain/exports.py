"""Exports: what may be asked for, the states one passes, and the links that lead to its file."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from .records import Kind

LINK_S = 15 * 60  # how long a link works; the export's own page gives a new one
OPEN_MAX = 3  # unfinished exports of a tenant
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


class ExportFormat(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"

    @property
    def suffix(self) -> str:
        """Of the file; text is compressed, Parquet is by itself."""
        return self.value if self is ExportFormat.PARQUET else f"{self.value}.gz"


class ExportState(StrEnum):
    """How an export stands."""

    PENDING = "pending"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One export of a tenant.

    Attributes:
        withhold: whether payloads are left out, since the key that asked may not see them.
        percent: how far it is.
        sha256: of the file.
    """

    id: UUID
    tenant_id: UUID
    kind: Kind
    format: ExportFormat
    filters: dict[str, Any]
    include_archived: bool
    withhold: bool
    requested_by: str
    secret: bytes
    state: ExportState
    percent: int
    row_count: int | None
    sha256: bytes | None
    bytes: int | None
    error: str | None
    requested_at: datetime
    finished_at: datetime | None

    @property
    def key(self) -> str:
        """Where its file is, below the folder of exports."""
        return f"{self.tenant_id}/{self.id}.{self.format.suffix}"

    def sign(self, expires: int) -> str:
        """The signature of a link to its file that works until a time (s since 1970)."""
        said = f"{self.tenant_id} {self.id} {expires}".encode()
        return hmac.new(self.secret, said, hashlib.sha256).hexdigest()

    def is_signed(self, expires: int, signature: str, now: datetime) -> bool:
        """Whether a link is ours and still works."""
        genuine = hmac.compare_digest(self.sign(expires).encode(), signature.encode())
        return genuine and now.timestamp() < expires


def escape_formula(text: str) -> str:
    """A text that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text

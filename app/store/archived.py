"""What the register says of a stretch of time, as a log that can be read."""

from uuid import UUID

from sqlalchemy.orm import Session

from ..domain.grains import from_ms
from ..domain.records import Kind
from .archives import list_cold
from .cold import ColdStore
from .cold_log import ColdLog


def cold_log(
    session: Session, store: ColdStore, tenant_id: UUID, kind: Kind, low: int, high: int
) -> ColdLog:
    """A tenant's archived records of a stretch of time (ms), but for those that the session, which
    is a snapshot, finds in Postgres, since they are restored.
    """
    window = (from_ms(low), from_ms(high))
    segments = list_cold(session, tenant_id, kind, *window, restored=False)
    return ColdLog(store, tenant_id, kind, segments)

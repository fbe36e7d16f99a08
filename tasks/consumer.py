"""The worker's consumer: Celery's own, but it outlives the broker and is back when that is.

Celery lets its pauses between two tries grow to half a minute, and has no setting for it; and its
worker ends by an AttributeError if a lost connection cannot be closed.
"""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

from app.telemetry import get_logger

RETRY_FIRST_S = 0.5
RETRY_STEP_S = 0.5
RETRY_MAX_S = 2.0

log = get_logger(__name__)


class PromptConsumer(Consumer):
    """Takes tasks, and reconnects after short pauses."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=RETRY_FIRST_S,
            interval_step=RETRY_STEP_S,
            interval_max=RETRY_MAX_S,
        )
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of a lost connection; what it held unacknowledged is delivered again."""
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # kombu restores messages through what is closed already
            log.warning("lost connection not closed cleanly", error=repr(error))
        self.connection = None

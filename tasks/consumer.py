"""The worker's consumer: Celery's own, but back within seconds when the broker is.

Celery lets its pauses between two tries grow to half a minute, and has no setting for it.
"""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

RETRY_FIRST_S = 0.5
RETRY_STEP_S = 0.5
RETRY_MAX_S = 2.0


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

"""Celery's settings, as data: broker, queues, routes and the beat schedule."""

from datetime import UTC, datetime

from app.config import load_settings
from app.worker import (
    FOLD_TASK,
    HEARTBEAT_TASK,
    MAINTENANCE_QUEUE,
    PARTITIONS_TASK,
    PERIODS_S,
    PERSIST_QUEUE,
    PERSIST_TASK,
    PRUNE_TASK,
    QUEUES,
    transport_options,
)

_settings = load_settings()

broker_url = _settings.redis_url
# A worker may wait long for a slow broker; only publishing in a web process must not.
broker_transport_options = {**transport_options(5.0), "max_retries": None}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None

worker_consumer = "tasks.consumer:PromptConsumer"

include = ["tasks.persist", "tasks.maintenance"]
task_queues = QUEUES
task_routes = {
    PERSIST_TASK: {"queue": PERSIST_QUEUE},
    PARTITIONS_TASK: {"queue": MAINTENANCE_QUEUE},
    PRUNE_TASK: {"queue": MAINTENANCE_QUEUE},
    FOLD_TASK: {"queue": MAINTENANCE_QUEUE},
    HEARTBEAT_TASK: {"queue": MAINTENANCE_QUEUE},
}
task_create_missing_queues = False  # a misspelt queue is an error, not a queue nobody reads
task_ignore_result = True
task_serializer = "json"
accept_content = ["json"]

# A task is acknowledged once its work is committed; if its worker dies, another has it again.
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_cancel_long_running_tasks_on_connection_loss = False

timezone = "UTC"
_periods_s = {**PERIODS_S, HEARTBEAT_TASK: _settings.heartbeat_s}
beat_schedule = {
    task: {
        "task": task,
        "schedule": period_s,
        "options": {"expires": period_s},
        # A beat that starts asks at once. Tasks that ran in this period skip what is asked twice.
        "last_run_at": datetime(1970, 1, 1, tzinfo=UTC),
    }
    for task, period_s in _periods_s.items()
}

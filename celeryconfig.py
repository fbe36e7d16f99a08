"""Celery's settings, as data: broker, queues, routes and the beat schedule."""

from datetime import UTC, datetime

from app.broker import HEALTH_CHECK_S, broker_of
from app.config import load_settings
from app.rabbitmq import SHIPMENT_SERIALIZER
from app.worker import (
    ALERTS_TASK,
    ARCHIVE_TASK,
    DEAD_LETTERS_TASK,
    ERASE_TASK,
    EXPORT_TASK,
    FOLD_TASK,
    FORWARD_WATCH_TASK,
    HEARTBEAT_TASK,
    MAINTENANCE_QUEUE,
    MESSAGES_TASK,
    PARTITIONS_TASK,
    PERIODS_S,
    PERSIST_QUEUE,
    PERSIST_TASK,
    PRUNE_TASK,
    PURGE_TASK,
    RELEASE_TASK,
    queues,
)

_settings = load_settings()
_broker = broker_of(_settings)

broker_url = _broker.url
broker_use_ssl = _broker.tls
# A worker may wait long for a slow broker; only publishing in a web process must not.
broker_transport_options = {
    **_broker.transport_options(5.0),
    "max_retries": None,
    "health_check_interval": HEALTH_CHECK_S,
}
broker_heartbeat = 10  # RabbitMQ takes back what a frozen worker holds after twice as long
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_channel_error_retry = True  # Valkey that is full, or that lost its replicas, is just away

worker_consumer = "tasks.consumer:PromptConsumer"

include = ["tasks.persist", "tasks.maintenance", "tasks.alerts"]
task_queues = queues(_broker)
task_routes = {
    PERSIST_TASK: {"queue": PERSIST_QUEUE},
    PARTITIONS_TASK: {"queue": MAINTENANCE_QUEUE},
    PRUNE_TASK: {"queue": MAINTENANCE_QUEUE},
    FOLD_TASK: {"queue": MAINTENANCE_QUEUE},
    ARCHIVE_TASK: {"queue": MAINTENANCE_QUEUE},
    RELEASE_TASK: {"queue": MAINTENANCE_QUEUE},
    EXPORT_TASK: {"queue": MAINTENANCE_QUEUE},
    PURGE_TASK: {"queue": MAINTENANCE_QUEUE},
    ERASE_TASK: {"queue": MAINTENANCE_QUEUE},
    DEAD_LETTERS_TASK: {"queue": MAINTENANCE_QUEUE},
    HEARTBEAT_TASK: {"queue": MAINTENANCE_QUEUE},
    ALERTS_TASK: {"queue": MAINTENANCE_QUEUE},
    MESSAGES_TASK: {"queue": MAINTENANCE_QUEUE},
    FORWARD_WATCH_TASK: {"queue": MAINTENANCE_QUEUE},
}
task_create_missing_queues = False  # a misspelt queue is an error, not a queue nobody reads
task_ignore_result = True
task_serializer = "json"
accept_content = ["json", SHIPMENT_SERIALIZER]

# A task is acknowledged once its work is committed; if its worker dies, another has it again.
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_enable_remote_control = False  # unused, and its queue is of a kind that RabbitMQ drops
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

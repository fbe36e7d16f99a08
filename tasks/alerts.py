"""Queue opsledger.maintenance: rules evaluated, forwarding watched, messages sent, once a period
each.
"""

from datetime import UTC, datetime

from celery import shared_task

from app.pipeline.alerting import evaluate_alerts
from app.pipeline.forward_watch import watch_forwarding
from app.pipeline.notifying import deliver_messages
from app.pipeline.periodic import once_a_period
from app.worker import ALERTS_TASK, FORWARD_WATCH_TASK, MESSAGES_TASK, PERIODS_S

from .runtime import runtime


@shared_task(name=ALERTS_TASK)
def evaluate_rules() -> None:
    """Hold the rules of all tenants against what came."""
    database = runtime().maintenance_database
    once_a_period(
        database,
        ALERTS_TASK,
        PERIODS_S[ALERTS_TASK],
        lambda: evaluate_alerts(database, now=datetime.now(UTC)),
    )


@shared_task(name=MESSAGES_TASK)
def send_messages() -> None:
    """Send what is to be told."""
    database, settings = runtime().maintenance_database, runtime().settings
    once_a_period(
        database,
        MESSAGES_TASK,
        PERIODS_S[MESSAGES_TASK],
        lambda: deliver_messages(database, settings, clock=lambda: datetime.now(UTC)),
    )


@shared_task(name=FORWARD_WATCH_TASK)
def look_after_forwarding() -> None:
    """Tell tenants whose records wait too long for a destination."""
    database, settings = runtime().maintenance_database, runtime().settings
    once_a_period(
        database,
        FORWARD_WATCH_TASK,
        PERIODS_S[FORWARD_WATCH_TASK],
        lambda: watch_forwarding(database, now=datetime.now(UTC), late_s=settings.forward_late_s),
    )

"""The Celery app that workers and beat start from: `celery -A tasks worker`.

A table of contents: what a task does is in app.pipeline.
"""

from celery import Celery, signals

from app.config import load_settings
from app.telemetry import configure_logging

from .runtime import runtime

celery = Celery("opsledger")
celery.config_from_object("celeryconfig")


@signals.setup_logging.connect
def _configure_logging(**_: object) -> None:
    configure_logging(load_settings().log_level)


@signals.worker_ready.connect
def _start_shipping(**_: object) -> None:
    runtime().shipper.start()


@signals.worker_shutdown.connect
def _stop_shipping(**_: object) -> None:
    runtime().shipper.stop()

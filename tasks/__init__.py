"""The Celery app that workers and beat start from: `celery -A tasks worker`.

A table of contents: what a task does is in app.pipeline.
"""

from celery import Celery, signals

from app.config import load_settings
from app.sharing import share_metrics

share_metrics()  # before anything makes a metric

from app.pipeline.figures import serve_figures  # noqa: E402
from app.telemetry import configure_logging  # noqa: E402

from .runtime import runtime  # noqa: E402

celery = Celery("opsledger")
celery.config_from_object("celeryconfig")


@signals.setup_logging.connect
def _configure_logging(**_: object) -> None:
    configure_logging(load_settings().log_level)


@signals.worker_ready.connect
def _start_shipping(**_: object) -> None:
    runtime().shipper.start()
    runtime().forwarder.start()
    if runtime().settings.worker_metrics_port:
        serve_figures(runtime().settings)


@signals.worker_shutdown.connect
def _stop_shipping(**_: object) -> None:
    runtime().forwarder.stop()
    runtime().shipper.stop()

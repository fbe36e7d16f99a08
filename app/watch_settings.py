"""The settings of what watches: metrics, alerts and their channels; part of Settings."""

from dataclasses import dataclass

from .retention_settings import RetentionSettings
from .setting_types import secret, whole
from .setting_types import setting as _setting


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings(RetentionSettings):
    """What is shown of the service, and who is told."""

    metrics_token: str = _setting(
        "OPSLEDGER_METRICS_TOKEN",
        "",
        "secret",
        "Shows at /metrics what names tenants or what they call (Authorization: Bearer …); at least"
        " 32 characters. Empty: nobody is shown it.",
        secret,
    )
    metrics_tenants: int = _setting(
        "OPSLEDGER_METRICS_TENANTS",
        0,
        "tenants",
        "How many tenants each worker counts one by one at /metrics; all others are one. Each costs"
        " Prometheus three series a worker.",
        whole(0),
    )
    worker_metrics_port: int = _setting(
        "OPSLEDGER_WORKER_METRICS_PORT",
        0,
        "port",
        "Where a worker shows the figures of its host, for hosts without a web process; of others"
        " the web process does. 0: nowhere.",
        whole(0, 65535),
    )
    smtp_url: str = _setting(
        "OPSLEDGER_SMTP_URL",
        "",
        "URL",
        "Sends alerts by e-mail: smtps://user:password@host, smtp+starttls://… or smtp://…. Empty:"
        " no e-mail.",
    )
    smtp_from: str = _setting(
        "OPSLEDGER_SMTP_FROM", "opsledger@localhost", "address", "Who these e-mails are from."
    )

"""The settings of how long things are kept, besides the hot window; part of Settings."""

from dataclasses import dataclass

from .adapter_settings import AdapterSettings
from .setting_types import setting as _setting
from .setting_types import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings(AdapterSettings):
    """What may be kept for how long."""

    retention_days_min: int = _setting(
        "OPSLEDGER_RETENTION_DAYS_MIN",
        30,
        "days",
        "The least that a tenant's setting action_days or audit_days may be: what is purged is gone"
        " for ever.",
        whole(1, 36_500),
    )
    retention_days_max: int = _setting(
        "OPSLEDGER_RETENTION_DAYS_MAX",
        3650,
        "days",
        "The most that these may be, as a law may have it; without them a tenant's records stay.",
        whole(1, 36_500),
    )

    dead_letter_days: int = _setting(
        "OPSLEDGER_DEAD_LETTER_DAYS",
        365,
        "days",
        "How long records that cannot be stored are kept: long enough for somebody to look. 0: for"
        " ever.",
        whole(0, 36_500),
    )
    receipt_days: int = _setting(
        "OPSLEDGER_RECEIPT_DAYS",
        7,
        "days",
        "How long receipts of shipments are kept: far longer than a spool waits before it asks.",
        whole(1, 36_500),
    )
    export_file_hours: int = _setting(
        "OPSLEDGER_EXPORT_FILE_HOURS",
        24,
        "hours",
        "How long the file of an export is kept: it is a copy of records that may have to go.",
        whole(1, 8760),
    )
    export_days: int = _setting(
        "OPSLEDGER_EXPORT_DAYS",
        90,
        "days",
        "How long it is known of an export what was asked for; who asked stays in the audit log."
        " 0: for ever.",
        whole(0, 36_500),
    )
    alert_days: int = _setting(
        "OPSLEDGER_ALERT_DAYS",
        365,
        "days",
        "How long alerts that are over are kept, with their history. 0: for ever.",
        whole(0, 36_500),
    )
    message_days: int = _setting(
        "OPSLEDGER_MESSAGE_DAYS",
        30,
        "days",
        "How long it is known what became of telling somebody of an alert. 0: for ever.",
        whole(0, 36_500),
    )
    sandbox_days: int = _setting(
        "OPSLEDGER_SANDBOX_DAYS",
        90,
        "days",
        "How long the sandbox keeps what was not changed: it stands in for a provider. 0: for"
        " ever.",
        whole(0, 36_500),
    )

    @property
    def retention_days(self) -> tuple[int, int]:
        """The least and the most days for which a tenant may have a log kept."""
        return self.retention_days_min, self.retention_days_max

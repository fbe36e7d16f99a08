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

    @property
    def retention_days(self) -> tuple[int, int]:
        """The least and the most days for which a tenant may have a log kept."""
        return self.retention_days_min, self.retention_days_max

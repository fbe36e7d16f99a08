"""The settings of forwarding; part of Settings."""

from dataclasses import dataclass

from .retention_settings import RetentionSettings
from .setting_types import seconds, whole
from .setting_types import setting as _setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardSettings(RetentionSettings):
    """How records are sent on."""

    forward_at_once: int = _setting(
        "OPSLEDGER_FORWARD_AT_ONCE",
        4,
        "destinations",
        "That one worker delivers to at a time, each in a thread; whoever is slow keeps one thread"
        " of them busy, no longer than its turn. 0: this worker forwards nothing.",
        whole(0, 64),
    )
    forward_turn_s: float = _setting(
        "OPSLEDGER_FORWARD_TURN_S",
        5.0,
        "s",
        "How long a destination with much to catch up is delivered to before another has its turn.",
        seconds,
    )
    forward_lease_s: float = _setting(
        "OPSLEDGER_FORWARD_LEASE_S",
        45.0,
        "s",
        "How long a destination rests after the worker that delivered to it was killed; longer than"
        " a delivery takes that hangs until its timeouts, or records are sent twice.",
        seconds,
    )
    forward_dir: str = _setting(
        "OPSLEDGER_FORWARD_DIR",
        "",
        "folder",
        "Where destinations of the sink `file` may write, on each worker's host. Empty: nowhere.",
    )
    forward_late_s: float = _setting(
        "OPSLEDGER_FORWARD_LATE_S",
        300.0,
        "s",
        "How long a record may wait for a destination before its tenant is told, by the channels of"
        " alerts.",
        seconds,
    )

"""The terms on which one record is kept, where the caller asks for more than usual."""

from dataclasses import dataclass
from typing import Literal, TypedDict


class TermsGiven(TypedDict, total=False):
    """What log_action, ActionLogger and AuditService take beyond the record itself.

    With any of these, a record is appended at once, not at the end of its request, so that its
    `http` part has no status; and one that cannot be kept raises SpoolFull.

    wait: return once Postgres has committed the record, else raise NotYetCommitted in time,
        or RecordRefused where it became a dead letter.
    timeout_s: the longest wait, in seconds; by the settings if not given.
    durable: return once the record is on the platter, whatever OPSLEDGER_SPOOL_FSYNC says, else
        raise NotDurable.
    on_full: "shed" counts and logs a record for which there is no room, "raise" raises SpoolFull.
    """

    wait: bool
    timeout_s: float | None
    durable: bool
    on_full: Literal["shed", "raise"]


@dataclass(frozen=True, slots=True)
class Terms:
    """See TermsGiven; without any, a record is kept as usual."""

    wait: bool = False
    timeout_s: float | None = None
    durable: bool = False
    on_full: Literal["shed", "raise"] = "shed"

    def __post_init__(self) -> None:
        if self.on_full not in ("shed", "raise"):
            raise ValueError(f"on_full must be 'shed' or 'raise', not {self.on_full!r}")
        if self.timeout_s is not None and self.timeout_s < 0:
            raise ValueError(f"timeout_s must be a number of seconds, not {self.timeout_s!r}")

    @property
    def usual(self) -> bool:
        """Whether nothing more is asked than that the record be kept."""
        return not self.wait and not self.durable and self.on_full == "shed"

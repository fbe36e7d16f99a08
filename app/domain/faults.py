"""Faults that the sandbox provider is asked to have: a script, of which each attempt takes the next
step; the last step goes on for ever, so that one alone is the fault of all attempts.

>>> [step.kind for step in read_faults("500, 429=1, ok")]
['500', '429', 'ok']
"""

import re
from dataclasses import dataclass

STEPS_MAX = 20
VALUE_MAX = 60_000.0
STATUSES = ("400", "401", "403", "404", "409", "429", "500", "502", "503", "504")
KINDS = ("ok", "latency", "timeout", "lost", "malformed", *STATUSES)
STEP_FORM = re.compile(r"([a-z]+|[0-9]{3})(?:=([0-9]{1,5}(?:\.[0-9]{1,3})?))?")
FAULTS_RULE = (
    f"must be 1 to {STEPS_MAX} steps parted by commas, each one of {', '.join(KINDS)};"
    " latency=MS waits so many milliseconds, 429=S and 503=S send Retry-After in seconds"
)
VALUED = ("latency", "429", "503")


@dataclass(frozen=True, slots=True)
class Fault:
    """What one attempt meets: ok, a status, latency and then ok, no answer though nothing was done
    (timeout) or all of it (lost), or an answer that breaks off (malformed).
    """

    kind: str
    value: float | None = None

    @property
    def status(self) -> int | None:
        """The status that is answered in place of the true one."""
        return int(self.kind) if self.kind in STATUSES else None


OK = Fault("ok")


def read_faults(text: str) -> tuple[Fault, ...]:
    """The script of a text.

    Raises:
        ValueError: says what it must be.
    """
    steps = tuple(_step(part.strip()) for part in text.split(","))
    if len(steps) > STEPS_MAX:
        raise ValueError(FAULTS_RULE)
    return steps


def _step(text: str) -> Fault:
    found = STEP_FORM.fullmatch(text)
    if found is None or found[1] not in KINDS:
        raise ValueError(FAULTS_RULE)
    kind, given = found[1], found[2]
    value = float(given) if given else None
    allowed = kind in VALUED if value is not None else kind != "latency"
    if not allowed or (value or 0.0) > VALUE_MAX:
        raise ValueError(FAULTS_RULE)
    return Fault(kind, value)

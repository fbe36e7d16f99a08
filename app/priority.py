"""How much of the processors a process claims where others want them too: less, if it asks so."""

import os
from pathlib import Path

from .telemetry import get_logger

AUTOGROUP = Path("/proc/self/autogroup")  # Linux weighs sessions before the processes in them

log = get_logger(__name__)


def yield_to_others(nice: int) -> None:
    """Let other processes have the processors first; it has what they leave.

    Args:
        nice: the niceness to have, from 0 to 19; a process that is nicer already stays so. Its
            session has it too, if it or its parent (gunicorn) leads that.
    """
    more = nice - os.nice(0)
    if more <= 0:
        return
    os.nice(more)
    if AUTOGROUP.exists() and os.getsid(0) in (os.getpid(), os.getppid()):  # a session of our own
        try:
            AUTOGROUP.write_text(str(nice))
        except OSError as error:  # not ours to say, or said too often: the niceness stands alone
            log.info("this session claims as much of the processors as others", error=repr(error))

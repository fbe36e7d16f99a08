"""The folder through which all processes of this host share their metrics.

Counts outlive the process that made them: whoever is asked adds up all files. They are removed when
a process starts where none lives.
"""

import fcntl
import os
import sys
from pathlib import Path

from .config import load_settings

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client looks for the folder
LOCK_NAME = "lock"

_held: list[int] = []  # the lock of this process, let go of when it ends


def share_metrics() -> bool:
    """Share this process's metrics; must come before anything makes one. Whether it did.

    Not those of commands: they live too shortly to be asked, and would leave a file each.
    """
    if "prometheus_client" in sys.modules or os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        return False
    folder = Path(os.environ.get(VARIABLE) or load_settings().data_dir / "metrics").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # others live, whose files these are
    else:
        for path in folder.glob("*.db"):
            path.unlink(missing_ok=True)
    fcntl.flock(lock, fcntl.LOCK_SH)
    _held.append(lock)
    os.environ[VARIABLE] = str(folder)
    return True


def shares_metrics() -> bool:
    """Whether this process shares its metrics."""
    return bool(_held)

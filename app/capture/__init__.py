"""Capture, the hot path: makes records and appends them to the spool; touches nothing else.

A failure in here is counted and logged and never reaches the caller's request.
"""

from .acting import Acting, acting
from .actions import ActionLogger, log_action
from .audits import AuditService
from .decorator import logs_action
from .hooks import RequestValues, install_hooks
from .instrumented import instrument
from .recorder import Recorder

__all__ = [
    "Acting",
    "ActionLogger",
    "AuditService",
    "Recorder",
    "RequestValues",
    "acting",
    "install_hooks",
    "instrument",
    "log_action",
    "logs_action",
]

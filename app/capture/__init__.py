"""Capture, the hot path: makes records and appends them to the spool; touches nothing else.

A failure in here is counted and logged and never reaches the caller's request.
"""

from .actions import ActionLogger, log_action
from .audits import AuditService
from .hooks import RequestValues, install_hooks
from .recorder import Recorder

__all__ = [
    "ActionLogger",
    "AuditService",
    "Recorder",
    "RequestValues",
    "install_hooks",
    "log_action",
]

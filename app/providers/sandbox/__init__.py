"""The sandbox provider: all five capabilities without an account elsewhere, kept in Postgres per
tenant, with faults on demand. It is called as the others are, over HTTP's own messages, by a server
inside this process.
"""

from .clients import (
    SandboxCalendar,
    SandboxCrm,
    SandboxEmail,
    SandboxHelpdesk,
    SandboxKnowledge,
    sandbox_refusal,
)
from .faulty import FaultPlan, FaultyTransport
from .server import SandboxServer

__all__ = [
    "FaultPlan",
    "FaultyTransport",
    "SandboxCalendar",
    "SandboxCrm",
    "SandboxEmail",
    "SandboxHelpdesk",
    "SandboxKnowledge",
    "SandboxServer",
    "sandbox_refusal",
]

"""The providers there are, by name."""

from .kinds import ProviderKind
from .local import LocalKnowledge, LocalServer
from .protocols import CALENDAR, CRM, EMAIL, HELPDESK, KNOWLEDGE
from .sandbox import (
    SandboxCalendar,
    SandboxCrm,
    SandboxEmail,
    SandboxHelpdesk,
    SandboxKnowledge,
    SandboxServer,
    sandbox_refusal,
)

SANDBOX = ProviderKind(
    name="sandbox",
    openers={
        CRM.name: lambda operation, _: SandboxCrm(operation),
        HELPDESK.name: lambda operation, _: SandboxHelpdesk(operation),
        CALENDAR.name: lambda operation, _: SandboxCalendar(operation),
        EMAIL.name: lambda operation, _: SandboxEmail(operation),
        KNOWLEDGE.name: lambda operation, _: SandboxKnowledge(operation),
    },
    judge=sandbox_refusal,
    server=SandboxServer,
)
LOCAL = ProviderKind(
    name="local",
    openers={KNOWLEDGE.name: lambda operation, _: LocalKnowledge(operation)},
    judge=sandbox_refusal,
    server=LocalServer,
)
KINDS = {kind.name: kind for kind in (SANDBOX, LOCAL)}


def kinds_of(capability: str) -> list[str]:
    """The names of the providers of a capability."""
    return sorted(name for name, kind in KINDS.items() if capability in kind.openers)

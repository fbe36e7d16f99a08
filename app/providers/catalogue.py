"""The providers there are, by name."""

from . import gmail, google, google_calendar, hubspot, zendesk
from .kinds import Asked, ProviderKind
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
HUBSPOT = ProviderKind(
    name=hubspot.NAME,
    openers={CRM.name: hubspot.HubSpotCrm},
    judge=hubspot.hubspot_refusal,
    asked=(
        Asked(name="access_token", about="of a private app with the scopes of contacts"),
        Asked(
            name="properties", about="more of them, parted by commas", secret=False, required=False
        ),
        Asked(name="portal_id", about="for links to contacts", secret=False, required=False),
    ),
    base_url=hubspot.URL,
    rate_limit="100 requests in 10 s for each private app (190 in paid tiers), 4 searches a second",
)
ZENDESK = ProviderKind(
    name=zendesk.NAME,
    openers={HELPDESK.name: zendesk.ZendeskHelpdesk},
    judge=zendesk.zendesk_refusal,
    asked=(
        Asked(name="subdomain", about="before .zendesk.com", secret=False),
        Asked(name="email", about="of the agent who made the token"),
        Asked(name="api_token", about="of Admin Center, Apps and integrations"),
    ),
    base_url=zendesk.URL,
    rate_limit="200 to 2,500 requests a minute by plan, 30 changes of a ticket in 10 min",
)
GOOGLE_CALENDAR = ProviderKind(
    name=google_calendar.NAME,
    openers={CALENDAR.name: google_calendar.GoogleCalendar},
    judge=google.google_refusal,
    asked=(
        *google.ASKED,
        Asked(name="calendar_id", about="primary if not given", secret=False, required=False),
    ),
    base_url=google_calendar.URL,
    rate_limit="600 requests a minute for each user of a project",
)
GMAIL = ProviderKind(
    name=gmail.NAME,
    openers={EMAIL.name: gmail.Gmail},
    judge=google.google_refusal,
    asked=google.ASKED,
    base_url=gmail.URL,
    rate_limit="15,000 units a minute for each user: 5 to get or list, 100 to send",
)
KINDS = {kind.name: kind for kind in (SANDBOX, LOCAL, HUBSPOT, ZENDESK, GOOGLE_CALENDAR, GMAIL)}


def kinds_of(capability: str) -> list[str]:
    """The names of the providers of a capability."""
    return sorted(name for name, kind in KINDS.items() if capability in kind.openers)

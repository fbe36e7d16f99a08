"""Zendesk as a helpdesk, by plain HTTP: its tickets API (v2), with cursor pages."""

from base64 import b64encode
from typing import Any
from urllib.parse import quote

from ..domain.accounts import Account
from ..domain.resources import Comment, Found, Ticket
from ..errors import ProviderError, ProviderNonsense
from .kinds import BASE_URL
from .messages import Response, json_request
from .operation import Operation
from .policy import refusal_of_status
from .protocols import Values
from .reading import moment, reading

NAME = "zendesk"
URL = "https://{subdomain}.zendesk.com"


def zendesk_refusal(response: Response) -> ProviderError:
    """What an answer of 400 or more says."""
    said = response.json()
    error, details = said["error"], said.get("details") or {}
    title = error["title"] if isinstance(error, dict) else error
    words = [said.get("description") or (error.get("message") if isinstance(error, dict) else "")]
    words += [one["description"] for found in details.values() for one in found]
    return refusal_of_status(
        response.status,
        ": ".join(filter(None, words)) or title,
        provider_code=title,
        retry_after=response.headers.get("retry-after"),
    )


class ZendeskHelpdesk:
    """A HelpdeskProvider; tickets come oldest first."""

    def __init__(self, operation: Operation, account: Account) -> None:
        self._operation = operation
        own = URL.format(subdomain=quote(account.options["subdomain"], safe=""))
        self._base = account.options.get(BASE_URL, own).rstrip("/")
        given = account.credentials
        secret = f"{given['email']}/token:{given['api_token']}"
        self._headers = {"Authorization": f"Basic {b64encode(secret.encode()).decode()}"}

    def create(self, values: Values) -> Ticket:
        """Open a ticket, once: Zendesk honours idempotency keys here."""
        ticket = {
            name: values[name]
            for name in ("subject", "status", "priority", "tags")
            if name in values
        }
        ticket["comment"] = {"body": values["description"]}
        email = values.get("requester_email")
        if email is not None:
            ticket["requester"] = {"email": email, "name": email.partition("@")[0]}
        key = {"Idempotency-Key": self._operation.id}
        said = self._ask(
            "POST", "", content={"ticket": ticket}, headers=key, query={"include": "users"}
        )
        return self._one(said)

    def get(self, ticket_id: str, /) -> Ticket:
        """One ticket."""
        return self._one(self._ask("GET", ticket_id, query={"include": "users"}))

    def update(self, ticket_id: str, values: Values, /) -> Ticket:
        """Change the given fields."""
        body = {"ticket": dict(values)}
        return self._one(self._ask("PUT", ticket_id, content=body, query={"include": "users"}))

    def list(self, *, limit: int, after: str | None) -> Found[Ticket]:
        """All tickets that are not archived."""
        query: dict[str, Any] = {"page[size]": limit, "include": "users"}
        if after is not None:
            query["page[after]"] = after
        said = self._ask("GET", "", query=query)
        with reading():
            emails = _emails(said)
            tickets = [self._ticket(ticket, emails) for ticket in said["tickets"]]
            meta = said["meta"]
            return Found(tickets, meta["after_cursor"] if meta["has_more"] else None)

    def comment(self, ticket_id: str, values: Values, /) -> Comment:
        """Say something on a ticket, by changing it; what is in doubt is not repeated."""
        body = {"ticket": {"comment": dict(values)}}
        said = self._ask("PUT", ticket_id, content=body, repeatable=False)
        with reading():
            events = [event for event in said["audit"]["events"] if event["type"] == "Comment"]
            if not events:
                raise ProviderNonsense("Zendesk does not say which comment it made")
            return Comment(
                id=str(events[0]["id"]),
                provider=NAME,
                ticket_id=str(said["ticket"]["id"]),
                body=events[0]["body"],
                public=events[0]["public"],
                author=str(events[0]["author_id"]),
                created_at=moment(said["audit"]["created_at"]),
            )

    def _ask(self, method: str, ticket_id: str, **more: Any) -> Any:
        url = f"{self._base}/api/v2/tickets"
        if ticket_id:
            url += f"/{quote(ticket_id, safe='')}"
            more["named"] = {"id": ticket_id}
        more["headers"] = {**self._headers, **more.get("headers", {})}
        more.setdefault("repeatable", True)
        return self._operation.send(json_request(method, url, **more)).json()

    def _one(self, said: Any) -> Ticket:
        with reading():
            return self._ticket(said["ticket"], _emails(said))

    def _ticket(self, kept: Any, emails: dict[int, str]) -> Ticket:
        return Ticket(
            id=str(kept["id"]),
            provider=NAME,
            url=f"{self._base}/agent/tickets/{kept['id']}",
            subject=kept["subject"] or "",
            description=kept["description"] or "",
            status=kept["status"],
            priority=kept["priority"],
            requester_email=emails.get(kept["requester_id"]),
            tags=list(kept["tags"]),
            created_at=moment(kept["created_at"]),
            updated_at=moment(kept["updated_at"]),
        )


def _emails(said: Any) -> dict[int, str]:
    """The addresses of the users that came along."""
    return {user["id"]: user["email"] for user in said.get("users", [])}

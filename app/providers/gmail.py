"""Gmail: the mailbox of the account's user. Lists read their messages' heads in one batch."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from typing import Any

from ..domain.accounts import Account
from ..domain.resources import Found, Message
from .google import GoogleApi, google_refusal
from .kinds import BASE_URL
from .messages import Response
from .operation import Operation
from .protocols import Values
from .reading import reading

NAME = "gmail"
URL = "https://gmail.googleapis.com"
BATCH_PATH = "/batch/gmail/v1"
SCOPES = [
    "https://www.googleapis.com/auth/gmail.readonly",
    "https://www.googleapis.com/auth/gmail.send",
]
Ids = list[str]
Messages = list[Message]

HEADS = ["From", "To", "Cc", "Subject"]


class Gmail:
    """An EmailProvider; newest first. Messages in lists have no text."""

    def __init__(self, operation: Operation, account: Account) -> None:
        self._api = GoogleApi(operation, account, "gmail", "v1", SCOPES)
        self._messages = self._api.service.users().messages()
        self._base = account.options.get(BASE_URL, URL).rstrip("/")
        self._sender = account.options.get("user", "")

    def send(self, values: Values) -> Message:
        """Send a message. Gmail has no idempotency keys: what is in doubt is not repeated."""
        now = datetime.now(UTC)
        raw = urlsafe_b64encode(_mime(values, self._sender, now).as_bytes()).decode()
        asked = self._messages.send(userId="me", body={"raw": raw})
        said = self._api.ask(asked, sent={"raw": dict(values)})  # on record in clear
        with reading():
            return Message(
                id=said["id"],
                provider=NAME,
                url=_url(said["id"]),
                thread_id=said["threadId"],
                sender=self._sender,
                to=list(values["to"]),
                cc=list(values.get("cc", [])),
                subject=values["subject"],
                text=values["text"],
                html=values.get("html"),
                created_at=now,
            )

    def get(self, message_id: str, /) -> Message:
        """One message, with its text."""
        asked = self._messages.get(userId="me", id=message_id, format="full")
        return _message(self._api.ask(asked, repeatable=True, named={"id": message_id}))

    def list(self, *, limit: int, after: str | None) -> Found[Message]:
        """All messages but spam and trash."""
        return self._page(limit, after)

    def search(self, query: str, *, limit: int, after: str | None) -> Found[Message]:
        """The messages that hold these words next to each other."""
        phrase = query.replace('"', " ").strip()
        return self._page(limit, after, q=f'"{phrase}"')

    def _page(self, limit: int, after: str | None, **query: str) -> Found[Message]:
        past = {"pageToken": after} if after else {}
        asked = self._messages.list(userId="me", maxResults=limit, **past, **query)
        said = self._api.ask(asked, repeatable=True)
        with reading():
            ids = [item["id"] for item in said.get("messages", [])]
            return Found(self._heads(ids), said.get("nextPageToken"))

    def _heads(self, ids: Ids) -> Messages:
        """The messages of these ids, by one call."""
        if not ids:
            return []
        found: dict[str, Any] = {}

        def keep(message_id: str, said: Any, error: Any) -> None:
            if error is not None:
                raise google_refusal(Response(status=error.resp.status, body=error.content))
            found[message_id] = said

        from googleapiclient.http import BatchHttpRequest

        batch = BatchHttpRequest(callback=keep, batch_uri=f"{self._base}{BATCH_PATH}")
        for message_id in ids:
            asked = self._messages.get(
                userId="me", id=message_id, format="metadata", metadataHeaders=HEADS
            )
            batch.add(asked, request_id=message_id)
        batch.execute(http=_Carrier(self._api, ids))
        return [_message(found[message_id]) for message_id in ids]


class _Carrier:
    """What Google's client takes for an HTTP client when it sends a batch."""

    def __init__(self, api: GoogleApi, ids: list[str]) -> None:
        self._api = api
        self._ids = ids

    def request(self, uri: str, *, method: str, body: Any, headers: Any, **_: Any) -> Any:
        """Send the batch."""
        from httplib2 import Response as Head

        encoded = body.encode() if isinstance(body, str) else body
        said = self._api.send(
            method, uri, headers, encoded, repeatable=True, sent={"ids": self._ids}, raw=True
        )
        head = {"status": str(said.status), "content-type": said.headers.get("content-type", "")}
        return Head(head), said.body


def _message(kept: Any) -> Message:
    with reading():
        payload = kept["payload"]
        heads = {one["name"].lower(): one["value"] for one in payload.get("headers", [])}
        texts = dict(_texts(payload))
        return Message(
            id=kept["id"],
            provider=NAME,
            url=_url(kept["id"]),
            thread_id=kept["threadId"],
            sender=heads.get("from", ""),
            to=_addresses(heads.get("to", "")),
            cc=_addresses(heads.get("cc", "")),
            subject=heads.get("subject", ""),
            text=texts.get("text/plain"),
            html=texts.get("text/html"),
            created_at=datetime.fromtimestamp(int(kept["internalDate"]) / 1000, UTC),
        )


def _texts(part: Any) -> Iterator[tuple[str, str]]:
    """The texts of a message by type, outermost first of each; attachments are not read."""
    for inner in reversed(part.get("parts", [])):
        yield from _texts(inner)
    data = part.get("body", {}).get("data")
    if data and not part.get("filename") and part.get("mimeType", "").startswith("text/"):
        padded = data + "=" * (-len(data) % 4)
        yield part["mimeType"], urlsafe_b64decode(padded).decode("utf-8", "replace")


def _addresses(header: str) -> list[str]:
    return [address for _, address in getaddresses([header]) if address]


def _mime(values: Values, sender: str, now: datetime) -> EmailMessage:
    message = EmailMessage()
    if sender:
        message["From"] = sender
    message["To"] = ", ".join(values["to"])
    if values.get("cc"):
        message["Cc"] = ", ".join(values["cc"])
    message["Subject"] = values["subject"]
    message["Date"] = format_datetime(now)
    message.set_content(values["text"])
    if values.get("html"):
        message.add_alternative(values["html"], subtype="html")
    return message


def _url(message_id: str) -> str:
    return f"https://mail.google.com/mail/#all/{message_id}"

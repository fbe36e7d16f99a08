"""Google's token endpoint, Calendar and Gmail, held to Google's own discovery documents: a request
that they do not describe is refused, an answer that they do not describe fails the test.
"""

import json
import re
from base64 import urlsafe_b64decode
from email import message_from_bytes, policy
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.discovery import Discovery
from tests.support.fakes import Fake, Refusal, now, page
from tests.support.peer import Asked

REFRESH, SECRET = "1//secret-refresh-token", "GOCSPX-secret"
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS"}
REASONS = {400: "invalid", 401: "authError", 404: "notFound", 409: "duplicate", 410: "deleted"}
REASONS |= {429: "rateLimitExceeded", 500: "backendError"}


class FakeGoogle(Fake):
    """One of Google's APIs, and its token endpoint at /token."""

    discovery: Discovery
    prefix = "/"
    tokens = 0

    def is_aside(self, asked: Asked) -> bool:
        return asked.path == "/token"

    def aside(self, asked: Asked) -> tuple[int, Any]:
        """An access token for the right refresh token."""
        given = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        right = {"grant_type": "refresh_token", "client_id": "client", "client_secret": SECRET}
        if given != {**right, "refresh_token": REFRESH}:
            return 400, {"error": "invalid_grant", "error_description": "Token has been revoked."}
        self.tokens += 1
        return 200, {
            "access_token": f"ya29.{self.tokens}",
            "expires_in": 3599,
            "scope": "x",
            "token_type": "Bearer",
        }

    def authorize(self, asked: Asked) -> None:
        if asked.headers.get("authorization") != f"Bearer ya29.{self.tokens}":
            raise self.refuse(401, "Request had invalid authentication credentials.")

    def words(self, status: int, message: str) -> Any:
        error = {"message": message, "domain": "global", "reason": REASONS.get(status, "invalid")}
        status_word = STATUS.get(status, "INTERNAL")
        return {
            "error": {
                "code": status,
                "message": message,
                "errors": [error],
                "status": status_word,
            }
        }

    def serve(self, asked: Asked) -> tuple[int, Any]:
        return self.documented(asked.method, asked.path, asked.body)

    def documented(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        """Serve what the discovery document describes."""
        parts = urlsplit(target)
        path = parts.path.removeprefix(self.prefix)
        name, described, named = self.discovery.match(method, path)
        query = parse_qs(parts.query, keep_blank_values=True)
        self.discovery.check_query(described, query)
        given = json.loads(body) if body else None
        if "request" in described:
            self.discovery.check(described["request"], given, name)
        else:
            assert given is None
        said = self.handle(name, named, query, given)
        if "response" in described:
            self.discovery.check(described["response"], said, name)
            return 200, said
        assert said is None
        return 204, None

    def handle(
        self, name: str, named: dict[str, str], query: dict[str, list[str]], given: Any
    ) -> Any:
        """The answer of a documented method."""
        raise NotImplementedError


class FakeCalendar(FakeGoogle):
    """The calendar `primary`."""

    discovery = Discovery("calendar.v3")

    def handle(
        self, name: str, named: dict[str, str], query: dict[str, list[str]], given: Any
    ) -> Any:
        assert named["calendarId"] == "primary"
        if name == "calendar.events.insert":
            return self._insert(given)
        if name == "calendar.events.list":
            return self._list(query)
        kept = self.found(named["eventId"])
        if name == "calendar.events.patch":
            self._check(given)
            for key, value in given.items():
                if isinstance(value, dict):
                    kept[key] = {k: v for k, v in value.items() if v is not None}
                elif value is None:
                    kept.pop(key, None)
                else:
                    kept[key] = value
            kept["updated"] = now()
        elif name == "calendar.events.delete":
            if kept["status"] == "cancelled":
                raise self.refuse(410, "Resource has been deleted")
            kept["status"] = "cancelled"
            return None
        return kept

    def _insert(self, given: dict[str, Any]) -> Any:
        self._check(given)
        assert re.fullmatch("[a-v0-9]{5,1024}", given["id"])
        if given["id"] in self.items:
            raise self.refuse(409, "The requested identifier already exists.")
        for place in ("start", "end"):
            given[place] = {k: v for k, v in given[place].items() if v is not None}
        made = {
            **{key: value for key, value in given.items() if value is not None},
            "kind": "calendar#event",
            "status": "confirmed",
            "htmlLink": "https://www.google.com/calendar/event?eid=x",
            "created": now(),
            "updated": now(),
        }
        self.items[given["id"]] = made
        return made

    def _check(self, given: dict[str, Any]) -> None:
        start, end = given.get("start"), given.get("end")
        if start and end and _instant(end) < _instant(start):
            raise self.refuse(400, "The specified time range is empty.")

    def _list(self, query: dict[str, list[str]]) -> Any:
        assert query["singleEvents"] == ["true"] or "orderBy" not in query
        alive = [kept for kept in self.items.values() if kept["status"] != "cancelled"]
        for name, bound in query.items():
            if name == "timeMin":
                alive = [kept for kept in alive if _instant(kept["end"]) > bound[0]]
            if name == "timeMax":
                alive = [kept for kept in alive if _instant(kept["start"]) < bound[0]]
        alive.sort(key=lambda kept: _instant(kept["start"]))
        token = query.get("pageToken", [None])[0]
        if token is not None and not token.isdigit():
            raise self.refuse(400, "Invalid sync token value.")
        items, following = page(alive, int(query["maxResults"][0]), token)
        said = {"kind": "calendar#events", "items": items}
        return {**said, "nextPageToken": following} if following else said


class FakeGmail(FakeGoogle):
    """The mailbox of `me`, and batches of requests to it."""

    discovery = Discovery("gmail.v1")

    def serve(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == "/batch/gmail/v1":
            return 200, self._batch(asked)
        return super().serve(asked)

    def handle(
        self, name: str, named: dict[str, str], query: dict[str, list[str]], given: Any
    ) -> Any:
        assert named["userId"] == "me"
        if name == "gmail.users.messages.send":
            return self._send(given["raw"])
        if name == "gmail.users.messages.list":
            return self._list(query)
        assert name == "gmail.users.messages.get"
        kept = self.found(named["id"])
        if query["format"] == ["metadata"]:
            wanted = query["metadataHeaders"]
            heads = [head for head in kept["payload"]["headers"] if head["name"] in wanted]
            payload = {"mimeType": kept["payload"]["mimeType"], "headers": heads}
            return {**kept, "payload": payload}
        return kept

    def _send(self, raw: str) -> Any:
        read = message_from_bytes(urlsafe_b64decode(raw), policy=policy.default)
        if not read["To"]:
            raise self.refuse(400, "Recipient address required")
        message_id = f"18c{len(self.seen):013x}"
        self.items[message_id] = {
            "id": message_id,
            "threadId": message_id,
            "labelIds": ["SENT"],
            "snippet": "…",
            "internalDate": str(1_700_000_000_000 + len(self.seen)),
            "payload": _payload(read),
        }
        return {"id": message_id, "threadId": message_id, "labelIds": ["SENT"]}

    def _list(self, query: dict[str, list[str]]) -> Any:
        kept = list(self.items.values())[::-1]
        if "q" in query:
            phrase = query["q"][0].strip('"').lower()
            kept = [one for one in kept if phrase in json.dumps(one["payload"]).lower()]
        token = query.get("pageToken", [None])[0]
        if token is not None and not token.isdigit():
            raise self.refuse(400, "Invalid pageToken")
        found, following = page(kept, int(query["maxResults"][0]), token)
        said: dict[str, Any] = {"resultSizeEstimate": len(kept)}
        if found:
            said["messages"] = [{"id": one["id"], "threadId": one["threadId"]} for one in found]
        return {**said, "nextPageToken": following} if following else said

    def _batch(self, asked: Asked) -> bytes:
        head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
        whole: Any = message_from_bytes(head + asked.body, policy=policy.default)
        said = b""
        for part in whole.iter_parts():
            line = part.get_payload().lstrip().splitlines()[0]
            method, target, _ = line.split(" ", 2)
            try:
                status, one = self.documented(method, target, b"")
            except Refusal as refusal:
                status, one = refusal.status, refusal.said
            answer_id = part["Content-ID"].replace("<", "<response-", 1)
            lines = ["--batch", "Content-Type: application/http", f"Content-ID: {answer_id}", ""]
            lines += [f"HTTP/1.1 {status} X", "Content-Type: application/json", "", json.dumps(one)]
            said += "\r\n".join([*lines, ""]).encode()
        return said + b"--batch--\r\n"


def _payload(read: Any) -> dict[str, Any]:
    heads = [{"name": name, "value": value} for name, value in read.items()]
    return {"mimeType": read.get_content_type(), "headers": heads, **_content(read)}


def _content(part: Any) -> dict[str, Any]:
    from base64 import urlsafe_b64encode

    if part.is_multipart():
        inner = [{"mimeType": one.get_content_type(), **_content(one)} for one in part.iter_parts()]
        return {"parts": inner, "body": {"size": 0}}
    data = part.get_content().encode()
    return {"body": {"size": len(data), "data": urlsafe_b64encode(data).decode().rstrip("=")}}


def _instant(place: dict[str, Any]) -> str:
    found: str = place.get("dateTime") or f"{place['date']}T00:00:00.000Z"
    return found

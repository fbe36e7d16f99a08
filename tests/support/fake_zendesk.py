"""Zendesk's tickets API (v2): what it takes and gives is held to zenpy's classes, which are made
from Zendesk's own documents; what these do not say (statuses, errors, pages) is by its reference.
"""

import json
from base64 import b64decode
from typing import Any

from tests.support.fakes import Fake, now, page, parts_of
from tests.support.peer import Asked
from tests.support.zendesk_models import check_shown, check_written

EMAIL, TOKEN = "agent@example.com", "secret-zendesk-token"
STATUSES = ("new", "open", "pending", "hold", "solved", "closed")
PRIORITIES = ("low", "normal", "high", "urgent", None)
ERRORS = {
    400: "InvalidValue",
    401: "Couldn't authenticate you",
    404: "RecordNotFound",
    422: "RecordInvalid",
    429: "APIRateLimitExceeded",
}


class FakeZendesk(Fake):
    """The API at /api/v2/tickets."""

    def authorize(self, asked: Asked) -> None:
        scheme, _, secret = asked.headers.get("authorization", "").partition(" ")
        if scheme != "Basic" or b64decode(secret).decode() != f"{EMAIL}/token:{TOKEN}":
            raise self.refuse(401, "")

    def words(self, status: int, message: str) -> Any:
        said: dict[str, Any] = {"error": ERRORS.get(status, "InternalError")}
        if status != 401:
            said["description"] = message
        return said

    def serve(self, asked: Asked) -> tuple[int, Any]:
        parts, query = parts_of(asked)
        assert parts[:3] == ["api", "v2", "tickets"]
        allowed = {"include", "page[size]", "page[after]"} if len(parts) == 3 else {"include"}
        assert set(query) <= allowed, query
        body = json.loads(asked.body) if asked.body else {}
        assert set(body) <= {"ticket"}
        if asked.method == "POST":
            return 201, self._create(body["ticket"], asked.headers.get("idempotency-key"))
        if len(parts) == 3:
            return 200, self._list(query)
        kept = self.found(parts[3])
        if asked.method == "GET":
            return 200, {"ticket": self._shown(kept), "users": self._users([kept])}
        assert asked.method == "PUT"
        given = body["ticket"]
        self._check(given)
        comment = given.pop("comment", None)
        kept.update({name: value for name, value in given.items() if name != "requester"})
        kept["updated_at"] = now()
        said = {"ticket": self._shown(kept), "users": self._users([kept])}
        return 200, {**said, "audit": self._audit(kept, comment)}

    def _create(self, given: dict[str, Any], key: str | None) -> Any:
        assert "comment" in given
        self._check(given)
        made = next((k for k in self.items.values() if key and k["key"] == key), None)
        if made is None:
            requester = given.pop("requester", {"email": EMAIL})
            comment = given.pop("comment")
            ticket_id = str(35_436 + len(self.seen))
            made = {
                "id": int(ticket_id),
                "key": key,
                "email": requester["email"],
                "description": comment["body"],
                "status": "open",
                "priority": None,
                "tags": [],
                "created_at": now(),
                "updated_at": now(),
                **given,
            }
            self.items[ticket_id] = made
        said = {"ticket": self._shown(made), "users": self._users([made])}
        return {**said, "audit": self._audit(made, None)}

    def _check(self, given: dict[str, Any]) -> None:
        check_written("Ticket", given, "comment", "requester")
        assert given.get("status", "new") in STATUSES
        assert given.get("priority") in PRIORITIES
        comment = given.get("comment", {"body": "x"})
        check_written("Comment", comment)
        assert set(comment) <= {"body", "public"}
        if not comment["body"].strip():
            said = self.words(422, "Record validation errors")
            said["details"] = {"base": [{"description": "Description: cannot be blank"}]}
            refusal = self.refuse(422, "")
            refusal.said = said
            raise refusal
        requester = given.get("requester")
        if requester is not None:
            check_written("User", requester)
            assert set(requester) == {"email", "name"}  # a new user needs a name

    def _list(self, query: dict[str, list[str]]) -> Any:
        after = query.get("page[after]", [None])[0]
        if after is not None and not after.isdigit():
            raise self.refuse(400, "page[after] is not valid")
        kept, following = page(list(self.items.values()), int(query["page[size]"][0]), after)
        meta = {"has_more": following is not None, "after_cursor": following, "before_cursor": None}
        tickets = [self._shown(one) for one in kept]
        return {"tickets": tickets, "users": self._users(kept), "meta": meta, "links": {}}

    def _audit(self, kept: dict[str, Any], comment: dict[str, Any] | None) -> Any:
        event = {"id": 206_091_192, "type": "Change", "field_name": "status", "value": "open"}
        if comment:
            said = {"body": comment["body"], "public": comment.get("public", True)}
            event = {"id": 206_091_193, "type": "Comment", "author_id": 1, **said}
        check_shown("Comment" if comment else "ChangeEvent", event)
        audit = {"id": 35, "ticket_id": kept["id"], "created_at": now(), "events": [event]}
        check_shown("Audit", audit)
        return audit

    def _users(self, kept: list[dict[str, Any]]) -> Any:
        users = [{"id": hash(one["email"]), "email": one["email"], "name": "A"} for one in kept]
        for user in users:
            check_shown("User", user)
        return users

    def _shown(self, kept: dict[str, Any]) -> Any:
        shown = {name: value for name, value in kept.items() if name not in ("key", "email")}
        whole = {
            **shown,
            "url": f"https://acme.zendesk.com/api/v2/tickets/{kept['id']}.json",
            "requester_id": hash(kept["email"]),
            "submitter_id": 1,
            "custom_fields": [],
        }
        check_shown("Ticket", whole)
        return whole

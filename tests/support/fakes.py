"""Providers elsewhere, on a port of this host: each refuses what the real one refuses, and answers
in the real one's form, which is checked against what the provider itself publishes.
"""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.peer import Asked, reply

LATE_S = 1.0


class Refusal(Exception):
    """The fake refuses.

    Args:
        said: the body of its answer.
    """

    def __init__(self, status: int, said: Any) -> None:
        self.status = status
        self.said = said
        super().__init__(status)


@dataclass
class Fake:
    """A provider that keeps things in memory.

    Args:
        faults: what the next requests meet, first come first; empty for none.
    """

    faults: list[str] = field(default_factory=list)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[Asked] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def answer(self, asked: Asked, handler: Any) -> None:
        """Answer one request, with the fault whose turn it is."""
        if self.is_aside(asked):
            self._reply(handler, *self.aside(asked))
            return
        self.seen.append(asked)
        fault = self.faults.pop(0) if self.faults else "ok"
        if fault.startswith(("4", "5")):
            status, _, wait_s = fault.partition("=")
            headers = {"Retry-After": wait_s} if wait_s else {}
            self._reply(handler, int(status), self.words(int(status), "A fault"), headers)
            return
        status, said, headers = self._served(asked)
        if fault in ("timeout", "lost"):
            time.sleep(LATE_S)
        if fault == "malformed":
            reply(handler, 200, b'{"id": ')
        else:
            self._reply(handler, status, said, headers)

    def _served(self, asked: Asked) -> tuple[int, Any, dict[str, str]]:
        try:
            self.authorize(asked)
            status, said = self.serve(asked)
        except Refusal as refusal:
            return refusal.status, refusal.said, {}
        except AssertionError as error:  # the request is not what the provider documents
            self.mistakes.append(f"{asked.method} {asked.path}: {error}")
            return 400, self.words(400, str(error)), {}
        return status, said, {}

    def _reply(
        self, handler: Any, status: int, said: Any, headers: dict[str, str] | None = None
    ) -> None:
        if isinstance(said, bytes):
            body, kind = said, 'multipart/mixed; boundary="batch"'
        else:
            body = b"" if said is None else json.dumps(said).encode()
            kind = "application/json;charset=utf-8"
        reply(handler, status, body, {"Content-Type": kind, **(headers or {})})

    def is_aside(self, asked: Asked) -> bool:  # noqa: ARG002
        """Whether a request is none of the API's own, as for a token."""
        return False

    def aside(self, asked: Asked) -> tuple[int, Any]:
        """The answer to such a request."""
        raise NotImplementedError

    def authorize(self, asked: Asked) -> None:
        """Refuse whoever has no key."""
        raise NotImplementedError

    def serve(self, asked: Asked) -> tuple[int, Any]:
        """The answer to a request."""
        raise NotImplementedError

    def words(self, status: int, message: str) -> Any:
        """A refusal in the provider's own form."""
        raise NotImplementedError

    def refuse(self, status: int, message: str) -> Refusal:
        """A refusal to raise."""
        return Refusal(status, self.words(status, message))

    def found(self, item_id: str) -> dict[str, Any]:
        """A thing by its id."""
        if item_id not in self.items:
            raise self.refuse(404, "Not found")
        return self.items[item_id]


def parts_of(asked: Asked) -> tuple[list[str], dict[str, list[str]]]:
    """The segments of a path, and its query."""
    parts = urlsplit(asked.path)
    return parts.path.strip("/").split("/"), parse_qs(parts.query, keep_blank_values=True)


def now() -> str:
    """This moment, as all of them write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def page(items: list[Any], limit: int, after: str | None) -> tuple[list[Any], str | None]:
    """A page of things from a place on, and the place of the next."""
    start = int(after or 0)
    following = str(start + limit) if len(items) > start + limit else None
    return items[start : start + limit], following

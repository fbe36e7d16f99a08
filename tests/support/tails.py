"""A reader that tails a log, and records for it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.records import Kind, Record
from tests.support.world import Inhabitant, action, audit, next_page

PATHS = {Kind.ACTION: "/api/v1/logs/actions", Kind.AUDIT: "/api/v1/logs/audits"}
TABLES = {Kind.ACTION: "action_logs", Kind.AUDIT: "audit_logs"}
MAKERS: dict[Kind, Callable[..., Record]] = {Kind.ACTION: action, Kind.AUDIT: audit}
NOW = datetime.now(UTC).replace(microsecond=0)


class Reader:
    """Who tails a log: asks, remembers the link, and keeps what it was shown."""

    def __init__(self, who: Inhabitant, kind: Kind, query: str = "") -> None:
        self._who = who
        self.at = f"{PATHS[kind]}?order=commit{query}"
        self.seen: list[str] = []
        self.ended = False

    def poll(self) -> list[dict[str, Any]]:
        """One page; there is always a next."""
        response = self._who.get(self.at)
        assert response.status_code == 200, response.get_data(as_text=True)
        link = next_page(response)
        assert link
        self.at = link
        self.seen += [row["id"] for row in response.json]
        self.ended = response.headers["X-Tail-End"] == "true"
        rows: list[dict[str, Any]] = response.json
        return rows

    def catch_up(self) -> list[str]:
        """Read to the present end; everything seen so far."""
        self.ended = False
        while not self.ended:
            self.poll()
        return self.seen


def ids(*records: Record) -> list[str]:
    """The ids of records as the API writes them."""
    return [str(record.id) for record in records]


def made(who: Inhabitant, kind: Kind, count: int, at: datetime = NOW) -> list[Record]:
    """Records a second apart, oldest first."""
    return [MAKERS[kind](who.tenant_id, at=at + timedelta(seconds=n)) for n in range(count)]

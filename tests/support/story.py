"""A believable week of a tenant, for pictures of pages and for trying them."""

import math
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

Record = dict[str, Any]
Post = Callable[[str, list[Record]], Any]
CALLS = {  # provider: its actions with their usual milliseconds, and how busy it is
    "hubspot": (
        {"crm_create": 180, "crm_update": 150, "crm_get": 60, "crm_search": 240, "crm_list": 310},
        8,
    ),
    "zendesk": (
        {"helpdesk_create_ticket": 260, "helpdesk_add_comment": 190, "helpdesk_list_tickets": 420},
        5,
    ),
    "google": (
        {"calendar_create_event": 210, "calendar_list_events": 130, "email_send": 340},
        6,
    ),
    "notion": ({"knowledge_search": 520, "knowledge_store": 380, "knowledge_get": 95}, 3),
}
PEOPLE = ("ada@example.com", "grace@example.com", "linus@example.com", "barbara@example.com")
NAMES = ("Jane Cooper", "Wade Warren", "Esther Howard", "Cameron Wood", "Brooklyn Simmons")
ERRORS = (
    "429 Too Many Requests: daily limit reached, resets in 41 min",
    "502 Bad Gateway from api.hubapi.com",
    "The contact already exists: duplicate value for email",
    "401 Unauthorized: the access token has expired",
)
TIMEOUT = "no answer within 10 s"
INCIDENT = (timedelta(hours=5), timedelta(hours=3, minutes=40))  # how long ago zendesk was ill
BATCH = 500


def tell(
    post: Callable[[str, list[Record]], Any], *, days: int, per_day: int, seed: int = 8
) -> None:
    """Put the story on record, by a function that sends a list of records to an ingest path."""
    chance, now = random.Random(seed), datetime.now(UTC)
    for kind, records in (
        ("actions", _actions(chance, now, days, per_day)),
        ("audits", _audits(chance, now, days, per_day // 20)),
    ):
        batch: list[Record] = []
        for record in records:
            batch.append(record)
            if len(batch) == BATCH:
                post(f"/api/v1/ingest/{kind}", batch)
                batch = []
        if batch:
            post(f"/api/v1/ingest/{kind}", batch)


def _moments(chance: random.Random, now: datetime, days: int, per_day: int) -> Iterator[datetime]:
    """Moments oldest first: more by day than by night."""
    for minute in range(days * 1440, 0, -1):
        at = now - timedelta(minutes=minute)
        busy = 1 + 0.85 * math.sin((at.hour + at.minute / 60 - 8) / 24 * 2 * math.pi)
        expected = per_day / 1440 * busy * (0.35 if at.weekday() >= 5 else 1)
        count = int(expected) + (chance.random() < expected % 1)
        for second in sorted(chance.uniform(0, 60) for _ in range(count)):
            yield at + timedelta(seconds=second)


def _actions(chance: random.Random, now: datetime, days: int, per_day: int) -> Iterator[Record]:
    weights = [weight for _, weight in CALLS.values()]
    for number, at in enumerate(_moments(chance, now, days, per_day)):
        provider = chance.choices(list(CALLS), weights)[0]
        action_type, usual = chance.choice(list(CALLS[provider][0].items()))
        ill = provider == "zendesk" and INCIDENT[1] < now - at < INCIDENT[0]
        milliseconds = int(usual * chance.lognormvariate(0, 0.45) * (3 if ill else 1)) + 8
        status = chance.choices(
            ["success", "failure", "timeout"], [55, 25, 20] if ill else [985, 11, 4]
        )[0]
        contact = {
            "email": f"{chance.choice(NAMES).split()[0].lower()}{number}@example.com",
            "name": chance.choice(NAMES),
            "tags": ["trial", "newsletter"][: chance.randint(0, 2)],
            "owner": {"id": chance.randint(100, 999), "active": True},
        }
        base = {
            "action_type": action_type,
            "provider_name": provider,
            "request_payload": {"contact": contact, "api_key": "never kept", "attempt": 1},
            "operation_id": f"op-{4700 + number}",
        }
        if status != "success" and chance.random() < 0.5:
            before = at - timedelta(milliseconds=milliseconds + 900)
            yield _made(before, base, "retry", milliseconds // 2, "connection reset by peer", None)
        if status == "success":
            answer = {"id": f"{provider[:2]}_{chance.randint(10**7, 10**8)}", "created": True}
            yield _made(at, base, status, milliseconds, None, {**answer, "contact": contact})
        elif status == "timeout":
            yield _made(at, base, status, 10_000 + chance.randint(0, 40), TIMEOUT, None)
        else:
            error = chance.choice(ERRORS)
            yield _made(at, base, status, milliseconds, error, {"error": error, "code": 1042})


def _made(
    at: datetime, base: Record, status: str, ms: int, error: str | None, response: Any
) -> Record:
    return {
        **base,
        "status": status,
        "execution_time_ms": ms,
        "error_message": error,
        "response_data": response,
        "created_at": _stamp(at),
    }


def _audits(chance: random.Random, now: datetime, days: int, per_day: int) -> Iterator[Record]:
    plans = ["basic", "pro", "enterprise"]
    for at in _moments(chance, now, days, per_day):
        kind = chance.choices(["settings", "contact", "member", "integration"], [2, 6, 3, 2])[0]
        person = chance.choice(PEOPLE)
        before: Record | None
        after: Record | None
        if kind == "settings":
            resource_id, action = "billing", "update"
            before = {
                "plan": chance.choice(plans),
                "seats": 5,
                "notify": {"email": True, "slack": None},
            }
            after = {
                "plan": chance.choice(plans),
                "seats": chance.randint(5, 40),
                "notify": {"email": True, "slack": "#ops"},
            }
        elif kind == "integration":
            resource_id, action = "hubspot", "rotate"
            before = {"access_token": "old", "scopes": ["crm.read"], "region": "eu1"}
            after = {"access_token": "new", "scopes": ["crm.read", "crm.write"], "region": "eu1"}
        elif kind == "member":
            resource_id, action = person, chance.choice(["invite", "update", "remove"])
            before = None if action == "invite" else {"role": "viewer", "teams": ["sales"]}
            after = (
                None
                if action == "remove"
                else {"role": chance.choice(["editor", "admin"]), "teams": ["sales"]}
            )
        else:
            resource_id, action = f"c-{chance.randint(1, 60)}", "update"
            before = {"name": chance.choice(NAMES), "stage": "lead", "score": chance.randint(1, 50)}
            after = {
                **before,
                "stage": chance.choice(["qualified", "customer"]),
                "score": chance.randint(50, 99),
            }
        yield {
            "action": action,
            "resource_type": kind,
            "resource_id": resource_id,
            "user_id": person,
            "ip_address": f"192.0.2.{chance.randint(2, 200)}",
            "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Chrome/126.0",
            "changes": {"before": before, "after": after},
            "created_at": _stamp(at),
        }


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

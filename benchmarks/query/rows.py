"""Whose records, and when: fifty tenants over ninety days, correlated as real platforms are.

One tenant holds 40 %; a provider serves few types; most calls succeed, failures fail fast, timeouts
last; nights are quiet; some values are rare, one provider was left long ago. The same for each run.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from uuid import UUID

from app.domain.records import Kind

TENANTS = 50
BIG_SHARE = 0.4
AUDIT_SHARE = 0.1
DAYS = 89
SHIPMENT_ROWS = 500
SEED = 7

# Provider: its share of the calls, its usual time (ms), and its types with their shares.
CRM = {"crm_get": 40, "crm_list": 25, "crm_search": 15, "crm_update": 12, "crm_create": 8}
DESK = {
    "helpdesk_get_ticket": 45,
    "helpdesk_list_tickets": 30,
    "helpdesk_add_comment": 15,
    "helpdesk_create_ticket": 10,
}
PROVIDERS: dict[str, tuple[float, int, dict[str, float]]] = {
    "hubspot": (30, 180, {**CRM, "crm_delete": 0.3}),
    "salesforce": (18, 320, {**CRM, "crm_delete": 0.02}),
    "gmail": (20, 90, {"email_send": 60, "email_get": 25, "email_list": 10, "email_search": 5}),
    "google_calendar": (
        12,
        110,
        {"calendar_list_events": 70, "calendar_create_event": 29, "calendar_delete_event": 0.1},
    ),
    "zendesk": (14, 240, DESK),
    "notion": (6, 60, {"knowledge_search": 80, "knowledge_store": 19, "knowledge_delete": 1}),
}
LEFT = ("freshdesk", 200, DESK)  # zendesk's predecessor, until LEFT_DAY
LEFT_DAY = 30
RARE = ("legacy_erp", "crm_update", 30)  # records of the big tenant in all
# Status: its share, and of which the time is: the provider's, a quick refusal's, or the timeout.
STATUSES = {"success": 94.0, "failure": 3.0, "retry": 1.5, "pending": 1.0, "timeout": 0.5}
TIMEOUT_MS = 30_000
REFUSAL_MS = 25

USERS = 400  # of the big tenant; of others a tenth
AUDIT_ACTIONS = {"update": 55, "login": 20, "create": 15, "delete": 5, "export": 4.9, "grant": 0.1}
RESOURCES = {"contact": 60, "ticket": 25, "document": 12, "api_key": 0.5, "user": 2.5}
OFFICES = ("198.51.100.7", "203.0.113.9", "192.0.2.200")
BOTS = {"service:sync": "10.0.0.5", "service:import": "10.0.0.6"}  # one address each
BOT_SHARES = (0.3, 0.1)


class Choice:
    """Draws a name by its share."""

    def __init__(self, shares: dict[str, float]) -> None:
        self._names = list(shares)
        self._sums = list(accumulate(shares.values()))

    def draw(self, source: random.Random) -> str:
        """One name."""
        return source.choices(self._names, cum_weights=self._sums)[0]


TYPE_CHOICES = {name: Choice(types) for name, (_, _, types) in PROVIDERS.items()}
TYPE_CHOICES[LEFT[0]] = Choice(LEFT[2])
STATUS_CHOICE = Choice(STATUSES)
ACTION_CHOICE = Choice(AUDIT_ACTIONS)
RESOURCE_CHOICE = Choice(RESOURCES)


@dataclass(frozen=True)
class Stretch:
    """Records of one tenant and kind that are shipped together: how many, from when to when."""

    tenant: int
    kind: Kind
    rows: int
    start_ms: int
    end_ms: int


class History:
    """The records of all tenants.

    Args:
        rows: how many in all.
        tenant_ids: the tenants, the big one first.
        end: the time of the newest.
    """

    def __init__(self, rows: int, tenant_ids: list[UUID], end: datetime) -> None:
        self.tenant_ids = [str(one) for one in tenant_ids]
        self.end = end.replace(microsecond=0)
        self.start = self.end - timedelta(days=DAYS)
        self._random = random.Random(SEED)
        self._rows = rows
        self._hours = [self.start + timedelta(hours=hour) for hour in range(DAYS * 24)]
        self._left_ms = _ms(self.start + timedelta(days=LEFT_DAY))
        names = list(PROVIDERS)
        used = [names] + [
            self._random.sample(names, self._random.randint(2, 4)) for _ in tenant_ids[1:]
        ]
        self._providers = [Choice({name: PROVIDERS[name][0] for name in some}) for some in used]
        self._rare_ms = sorted(
            self._random.randrange(_ms(self.start), _ms(self.end)) for _ in range(RARE[2])
        )

    def shipments(self) -> Iterator[tuple[int, bytes]]:
        """How many records, and their lines, in the order in which they happened."""
        for stretch in sorted(self._stretches(), key=lambda stretch: stretch.end_ms):
            lines = self._lines(stretch)
            yield len(lines), "\n".join(lines).encode()

    def _stretches(self) -> Iterator[Stretch]:
        shares = [BIG_SHARE] + [(1 - BIG_SHARE) / (TENANTS - 1)] * (TENANTS - 1)
        for tenant, share in enumerate(shares):
            for kind, part in ((Kind.ACTION, 1 - AUDIT_SHARE), (Kind.AUDIT, AUDIT_SHARE)):
                yield from self._cut(tenant, kind, self._rows * share * part)

    def _cut(self, tenant: int, kind: Kind, rows: float) -> Iterator[Stretch]:
        """A tenant's records by the hour, quiet at night and on weekends, cut into shipments."""
        weights = [_busy(hour) for hour in self._hours]
        per_weight, due, start_ms = rows / sum(weights), 0.0, _ms(self._hours[0])
        for hour, weight in zip(self._hours, weights, strict=True):
            first_ms, fraction = _ms(hour), weight * per_weight
            while due + fraction >= SHIPMENT_ROWS:
                used = SHIPMENT_ROWS - due
                first_ms += round(3_600_000 * used / (weight * per_weight))
                yield Stretch(tenant, kind, SHIPMENT_ROWS, start_ms, first_ms)
                fraction, due, start_ms = fraction - used, 0.0, first_ms
            due += fraction
        if round(due):
            yield Stretch(tenant, kind, round(due), start_ms, _ms(self.end))

    def _lines(self, stretch: Stretch) -> list[str]:
        choose = self._random
        span = max(1, stretch.end_ms - stretch.start_ms)
        moments = sorted(stretch.start_ms + choose.randrange(span) for _ in range(stretch.rows))
        make = self._action if stretch.kind is Kind.ACTION else self._audit
        lines = [make(stretch.tenant, moment) for moment in moments]
        if stretch.tenant == 0 and stretch.kind is Kind.ACTION:
            while self._rare_ms and self._rare_ms[0] < stretch.end_ms:
                lines.append(self._rare(max(self._rare_ms.pop(0), stretch.start_ms)))
        return lines

    def _head(self, letter: str, tenant: int, moment: int) -> str:
        """A line's first cells: kind, tenant, created_at, and a UUIDv7 of that millisecond."""
        bits = self._random.getrandbits(74)
        record_id = (
            f"{moment >> 16:08x}-{moment & 0xFFFF:04x}-7{bits & 0xFFF:03x}"
            f"-{0x8000 | bits >> 12 & 0x3FFF:04x}-{bits >> 26:012x}"
        )
        return f"{letter}\t{self.tenant_ids[tenant]}\t{_written(moment)}\t{record_id}"

    def _action(self, tenant: int, moment: int) -> str:
        name = self._providers[tenant].draw(self._random)
        usual_ms = PROVIDERS[name][1]
        if name == "zendesk" and moment < self._left_ms:
            name, usual_ms, _ = LEFT
        type_ = TYPE_CHOICES[name].draw(self._random)
        status = STATUS_CHOICE.draw(self._random)
        milliseconds = round(usual_ms * self._random.lognormvariate(0, 0.6))
        if status == "timeout":
            milliseconds = TIMEOUT_MS
        elif status == "failure":
            milliseconds = self._random.randint(REFUSAL_MS, 4 * REFUSAL_MS)
        return self._line(self._head("a", tenant, moment), type_, name, status, milliseconds)

    def _rare(self, moment: int) -> str:
        head = self._head("a", 0, moment)
        return self._line(head, RARE[1], RARE[0], "success", self._random.randint(100, 900))

    def _line(self, head: str, type_: str, name: str, status: str, milliseconds: int) -> str:
        number = self._random.randrange(10**9)
        error = f"{name} answered 429: rate limit {number}" if status == "failure" else "\\N"
        operation = f"op-{number}" if status in ("retry", "pending") else "\\N"
        return (
            f"{head}\t{type_}\t{name}\t{status}\t{milliseconds}\t{operation}\t{error}\t"
            f'{{"email":"user{number % 10**6}@example.com","firstname":"Jane","lastname":"Doe",'
            f'"properties":{{"company":"Example {number % 977} Ltd","phone":"+1 555 {number}",'
            f'"stage":"qualified","owner":"{number:x}"}}}}\t'
            f'{{"id":"{number}","archived":false,"updated":"{number * 7:x}"}}\t'
            f'{{"http":{{"method":"POST","route":"/api/v1/contacts","status":201,'
            f'"request_id":"{number * 31:032x}","ip_address":"198.51.100.{number % 250}"}}}}'
        )

    def _audit(self, tenant: int, moment: int) -> str:
        choose = self._random
        users = USERS if tenant == 0 else USERS // 10
        bot = choose.random()
        if bot < sum(BOT_SHARES):
            user = list(BOTS)[bot >= BOT_SHARES[0]]
            address = BOTS[user]
        else:
            number = min(int(choose.paretovariate(0.7)), users)
            user = f"user-{number}@example.com"
            home = f"2001:db8::{number:x}:{choose.randrange(3):x}"
            address = OFFICES[number % 3] if choose.random() < 0.6 else home
        action, resource = ACTION_CHOICE.draw(choose), RESOURCE_CHOICE.draw(choose)
        record = min(int(choose.paretovariate(0.5)), 100_000)
        return (
            f"{self._head('u', tenant, moment)}\t{action}\t{resource}\t{resource}-{record}\t{user}"
            f"\t{address}\t\\N\tMozilla/5.0 (X11; Linux x86_64)\t"
            f'{{"before":{{"stage":"lead","owner":"{record:x}"}},'
            f'"after":{{"stage":"qualified","owner":"{record * 7:x}"}}}}\t\\N'
        )


def _busy(hour: datetime) -> float:
    """How busy an hour is: most at 13:00 UTC, a tenth of it at night, less on weekends."""
    day = 1.0 - min(abs(hour.hour - 13), 9) / 10
    return day * (0.35 if hour.weekday() >= 5 else 1.0)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _written(moment: int) -> str:
    """A time in milliseconds as a record's line has it."""
    return f"{_second(moment // 1000)}.{moment % 1000:03d}+00"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")

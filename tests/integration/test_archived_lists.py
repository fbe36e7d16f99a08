"""include=archived: hot and cold records in one order and one cursor, as if nothing had moved."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.archive import Archive, days_of, unused_week
from tests.support.world import Inhabitant, action, audit, follow, problem_of, refused_fields

REFUSED = ("order=commit", "q=x", "metadata.k=v", "include=archived")
UNTIL = "X-Archived-Until"


@pytest.fixture
def told(archive: Archive) -> "Told":
    """A tenant with records of two old weeks and of now."""
    return Told(archive)


class Told:
    """A tenant's records, and what the API says of them before and after they are archived."""

    def __init__(self, archive: Archive) -> None:
        self.archive, self.tenant = archive, archive.settle()
        self.other = archive.settle()
        self.week = unused_week()
        chance = random.Random(7)
        now = datetime.now(UTC)
        moments = [*days_of(self.week, 3), *days_of(self.week + timedelta(days=7), 2)]
        moments += [
            self.week + timedelta(days=1, milliseconds=chance.randrange(9)) for _ in range(30)
        ]
        moments += [now - timedelta(minutes=minute) for minute in range(10)]
        self.actions = [
            action(
                self.tenant.tenant_id,
                at=at,
                status=chance.choice(("success", "failure", "timeout")),
                provider_name=chance.choice(("hubspot", "zendesk")),
                execution_time_ms=chance.randrange(3000),
                error_message=chance.choice((None, "", 'a "text"\n')),
                request_payload={"z": [1, 2.50, None], "a": "\u20ac"},
                response_data=chance.choice((None, [], {"": 0})),
                operation_id=chance.choice((None, "op-1", "op/2")),
                metadata=chance.choice(({}, {"k": "v"})),
            )
            for at in moments
        ]
        self.audits = [
            audit(
                self.tenant.tenant_id,
                at=at,
                user_id=chance.choice((None, "u-1")),
                resource_id=chance.choice(("a/b", "c")),
                changes=chance.choice(({}, {"before": None, "after": {"x": 1.0}})),
                operation_id=chance.choice((None, "op-1")),
            )
            for at in moments
        ]
        archive.world.put(*self.actions, *self.audits)
        archive.world.put(*(action(self.other.tenant_id, at=at) for at in moments))

    def get(self, path: str, **query: Any) -> Any:
        """A response of the API, which is no problem."""
        response = self.tenant.get(f"/api/v1{path}", query_string=query)
        assert response.status_code == 200, response.get_data(as_text=True)
        return response

    def archived(self, path: str, **query: Any) -> Any:
        """The same with include=archived."""
        return self.get(path, include="archived", **query)


LISTS: list[tuple[str, dict[str, Any]]] = [
    ("/logs/actions", {}),
    ("/logs/actions", {"limit": 1000}),
    ("/logs/actions", {"limit": 7, "skip": 11}),
    ("/logs/actions", {"limit": 1000, "skip": 50}),
    ("/logs/actions", {"status": ["failure", "timeout"], "provider_name": "hubspot"}),
    ("/logs/actions", {"min_execution_time_ms": 1500}),
    ("/logs/actions", {"operation_id": "op/2"}),
    ("/logs/actions", {"action_type": "email_send"}),
    ("/logs/audits", {"limit": 1000}),
    ("/logs/audits", {"user_id": "u-1", "resource_type": "contact"}),
    ("/logs/audits", {"resource_id": "c", "ip_address": "192.0.2.1"}),
    ("/logs/audits/resource/contact/a/b", {"limit": 500}),
    ("/logs/operations/op-1", {"limit": 1000}),
    ("/logs/operations/op/2", {"limit": 3}),
    ("/logs/analytics/failures", {"since": "2019-01-01T00:00:00Z", "limit": 1000}),
]


def test_every_list_is_the_same_byte_for_byte_before_and_after(told: Told) -> None:
    """With the same cursor; also for include=archived while nothing is archived."""
    before = [told.get(path, **query) for path, query in LISTS]
    for (path, query), response in zip(LISTS, before, strict=True):
        assert UNTIL not in response.headers
        assert told.archived(path, **query).data == response.data
    told.archive.run()
    for (path, query), response in zip(LISTS, before, strict=True):
        after = told.archived(path, **query)
        assert after.data == response.data, (path, query)
        assert UNTIL not in after.headers
        cursors = [one.headers.get("Link", "").split("after=")[-1] for one in (response, after)]
        assert cursors[0] == cursors[1]


@pytest.mark.parametrize("limit", [2, 40])
def test_pages_by_cursor_go_through_hot_and_cold(told: Told, limit: int) -> None:
    """Every record once, though the archive runs between two pages."""
    expected = [str(one.id) for one in sorted(told.actions, key=lambda one: one.id, reverse=True)]
    path = f"/api/v1/logs/actions?include=archived&limit={limit}"
    pages, found = follow(told.tenant, path), []
    for number, page in enumerate(pages):
        found += [row["id"] for row in page]
        if number == 1:
            told.archive.run()
    assert found == expected


def test_a_window_within_the_archive_is_exact(told: Told) -> None:
    """since is included, until is not, to the millisecond."""
    told.archive.run()
    moments = sorted({one.created_at for one in told.actions})
    for low, high in ((2, 5), (0, len(moments) - 1), (4, 4)):
        window = {"since": moments[low].isoformat(), "until": moments[high].isoformat()}
        found = told.archived("/logs/actions", limit=1000, **window).json
        expected = [one for one in told.actions if moments[low] <= one.created_at < moments[high]]
        assert sorted(row["id"] for row in found) == sorted(str(one.id) for one in expected)


def test_a_list_that_leaves_archived_records_out_says_so(told: Told) -> None:
    """By the time of the newest of them; not where the window has none."""
    told.archive.run()
    newest = max(one.created_at for one in told.actions if one.created_at.year < 2026)
    said = newest.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    plain = told.get("/logs/actions", limit=1000)
    assert len(plain.json) == 10
    assert plain.headers[UNTIL] == said
    assert told.get("/logs/audits/resource/contact/c").headers[UNTIL] == said
    assert told.get("/logs/operations/op-1").headers[UNTIL] == said
    since = (newest + timedelta(milliseconds=1)).isoformat()
    assert UNTIL not in told.get("/logs/actions", since=since).headers
    assert UNTIL in told.get("/logs/actions", since=newest.isoformat()).headers
    assert UNTIL not in told.get("/logs/actions", until=told.week.isoformat()).headers


@pytest.mark.parametrize("kind", ["actions", "audits"])
def test_a_record_in_full_is_the_same_before_and_after(told: Told, kind: str) -> None:
    """And it is found only by who asks for the archive."""
    paths = [f"/logs/{kind}/{one.id}" for one in getattr(told, kind)[:9]]
    before = [told.get(path).data for path in paths]
    told.archive.run()
    assert [told.archived(path).data for path in paths] == before
    problem_of(told.tenant.get(f"/api/v1{paths[0]}"), 404)
    missing = audit(told.tenant.tenant_id, at=told.week + timedelta(days=1)).id
    problem_of(told.tenant.get(f"/api/v1/logs/{kind}/{missing}?include=archived"), 404)


def test_one_tenant_never_sees_the_archive_of_another(told: Told) -> None:
    """Neither by list nor by id nor by operation."""
    told.archive.run()
    mine = {str(one.id) for one in told.actions}
    response = told.other.get("/api/v1/logs/actions?include=archived&limit=1000")
    assert response.status_code == 200
    assert response.json
    assert not mine & {row["id"] for row in response.json}
    for one in told.actions[:3]:
        problem_of(told.other.get(f"/api/v1/logs/actions/{one.id}?include=archived"), 404)
    problem_of(told.other.get("/api/v1/logs/operations/op-1?include=archived"), 404)


def test_an_archive_that_is_away_is_503_and_what_is_hot_is_served(told: Told) -> None:
    """A missing or damaged file is never taken for no records."""
    told.archive.run()
    path = told.archive.files(told.tenant.tenant_id)[0]
    path.write_bytes(b"PAR1 nonsense PAR1")
    problem = problem_of(told.tenant.get("/api/v1/logs/actions?include=archived&limit=1000"), 503)
    assert problem["type"] == "urn:opsledger:problem:archive-unavailable"
    path.unlink()
    problem_of(told.tenant.get("/api/v1/logs/actions?include=archived&limit=1000"), 503)
    assert len(told.get("/logs/actions").json) == 10
    assert len(told.archived("/logs/actions", limit=5).json) == 5


def test_what_the_archive_cannot_do_is_refused(archive: Archive) -> None:
    """With the field and the rule."""
    tenant = archive.settle()
    for query in ("everything", *(f"archived&{more}" for more in REFUSED)):
        path = f"/api/v1/logs/actions?include={query}"
        assert set(refused_fields(tenant.get(path))) == {"include"}


def test_a_tail_whose_records_were_archived_is_told_the_way_on(told: Told) -> None:
    """410 with a link, as for anything that left the hot store."""
    start = told.get("/logs/actions", order="commit", limit=3)
    told.archive.run()
    tenant: Inhabitant = told.tenant
    link = start.headers["Link"].split(";")[0].strip("<>")
    gone = tenant.get(link)
    problem_of(gone, 410)
    told.archive.world.put(action(tenant.tenant_id))
    on = tenant.get(gone.headers["Link"].split(";")[0].strip("<>"))
    assert on.status_code == 200

"""Late records: archived as further segments of their days, found and counted once."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from app.domain.identity import redated
from app.pipeline.persist import Outcome, Persister
from app.store.session import Database
from tests.support.archive import Archive, unused_week
from tests.support.world import Inhabitant, action, audit, lines_of


def arrive(archive: Archive, *records: object) -> Outcome:
    """Records that a worker takes in now."""
    database = Database.connect(archive.world.opsledger.settings.url_of("worker"))
    outcome = Persister(database, hot_days=90).persist(uuid4(), lines_of(*records))  # type: ignore[arg-type]
    database.close()
    return outcome


def shown(tenant: Inhabitant, kind: str = "actions") -> list[str]:
    """The ids of a list, hot and archived."""
    response = tenant.get(f"/api/v1/logs/{kind}?include=archived&limit=1000")
    assert response.status_code == 200, response.get_data(as_text=True)
    return [row["id"] for row in response.json]


def waiting(archive: Archive, tenant: Inhabitant) -> int:
    """How many late records of a tenant wait."""
    statement = "SELECT count(*) FROM late_records WHERE tenant_id = :id"
    return int(archive.ask(statement, id=tenant.tenant_id)[0][0])


def test_late_records_become_further_segments_found_and_counted_once(archive: Archive) -> None:
    """Of an archived day, and of a week that never was; again and again, each but once."""
    week, tenant = unused_week(), archive.settle()
    first = [action(tenant.tenant_id, at=week + timedelta(hours=hour)) for hour in range(3)]
    archive.world.put(*first)
    archive.run()
    late = [action(tenant.tenant_id, at=week + timedelta(hours=hour)) for hour in (1, 2)]
    old = [
        audit(tenant.tenant_id, at=datetime(2011, 5, 3, hour, tzinfo=UTC), user_id=f"u-{hour}")
        for hour in range(4)
    ]
    assert arrive(archive, *late, *old, first[0]) == Outcome(late=7)
    report = archive.run()
    assert (report.late, waiting(archive, tenant)) == (6, 0)
    everything = sorted((str(one.id) for one in (*first, *late)), reverse=True)
    assert shown(tenant) == everything
    assert shown(tenant, "audits") == sorted((str(one.id) for one in old), reverse=True)
    assert tenant.get("/api/v1/logs/stats").json["total_actions"] == 5
    detail = tenant.get(f"/api/v1/logs/actions/{late[0].id}?include=archived")
    assert detail.json["request_payload"] == late[0].request_payload
    assert len(archive.files(tenant.tenant_id)) == 3
    assert arrive(archive, *late, *old, *first) == Outcome(late=9)
    again = archive.run()
    assert (again.late, waiting(archive, tenant)) == (0, 0)
    assert shown(tenant) == everything
    assert tenant.get("/api/v1/logs/stats").json["total_actions"] == 5
    assert len(archive.files(tenant.tenant_id)) == 3
    verified = archive.world.app.test_cli_runner().invoke(
        args=["rollups", "verify", "--tenant", tenant.slug]
    )
    assert verified.exit_code == 0, verified.output


def test_late_records_of_a_day_that_is_still_hot_wait(archive: Archive) -> None:
    """Its partition is archived first, and then there is one place to look for them."""
    tenant = archive.settle()
    edge = datetime.now(UTC) - timedelta(days=90)
    hot = action(tenant.tenant_id, at=edge + timedelta(seconds=30))
    archive.world.put(hot)
    late = action(tenant.tenant_id, id=redated(hot.id, edge - timedelta(seconds=30)))
    archive.world.put(action(tenant.tenant_id, at=edge - timedelta(minutes=1)))
    assert arrive(archive, late) == Outcome(late=1)
    assert archive.run().late == 0
    assert waiting(archive, tenant) == 1


def test_a_day_that_cannot_be_read_keeps_no_other_waiting(archive: Archive) -> None:
    """It is said which, and why; the next run has it."""
    week, tenant, other = unused_week(), archive.settle(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week))
    archive.run()
    (path,) = archive.files(tenant.tenant_id)
    hidden = path.rename(archive.root.parent / "away")
    assert arrive(
        archive, action(tenant.tenant_id, at=week), action(other.tenant_id, at=week)
    ) == Outcome(late=2)
    report = archive.run()
    assert (report.late, waiting(archive, tenant), waiting(archive, other)) == (1, 1, 0)
    (what,) = report.waiting
    assert str(tenant.tenant_id) in what
    hidden.rename(path)
    assert archive.run().late == 1


def test_what_postgres_refuses_stays_and_its_neighbours_go(archive: Archive) -> None:
    """A late record is taken in unseen; it is not lost here either."""
    week, tenant = unused_week(), archive.settle()
    sound = [action(tenant.tenant_id, at=week + timedelta(hours=hour)) for hour in range(5)]
    poison = action(tenant.tenant_id, at=week, action_type="crm_dance")
    assert arrive(archive, *sound, poison) == Outcome(late=6)
    assert archive.run().late == 5
    assert waiting(archive, tenant) == 1
    assert len(shown(tenant)) == 5
    assert archive.run().late == 0

"""The end of retention: what is past its tenant's days goes, hot or archived, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.custody import Custody
from app.errors import QueryTimeout
from app.pipeline import purging
from app.pipeline.purging import Purger, PurgeReport
from app.store.archives import sole_runner
from app.store.objects import LocalObjects
from app.store.session import Database
from tests.support.archive import Archive, unused_week
from tests.support.world import Inhabitant, World, action, audit, problem_of, refused_fields

LOGS = "/api/v1/logs"
SETTINGS = "/api/v1/admin/settings"


@pytest.fixture(autouse=True)
def nothing_else_to_purge(request: pytest.FixtureRequest) -> None:
    """What other tests set is dropped: a run purges of all tenants."""
    if "archive" in request.fixturenames:
        with request.getfixturevalue("archive").maintenance.unrestricted_unsafe() as session:
            statement = "UPDATE tenants SET settings = settings - 'action_days' - 'audit_days'"
            session.execute(text(statement))


def days_ago(days: int, **rest: int) -> datetime:
    """A moment on the day so many days ago, by UTC."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days) + timedelta(**rest)


def keep(archive: Archive, who: Inhabitant, **days: int | None) -> None:
    """Set a tenant's retention: action_days, audit_days."""
    answer = archive.world.operator().patch(f"{SETTINGS}/{who.tenant_id}", json=days)
    assert answer.status_code == 200, answer.text


def hold(archive: Archive, who: Inhabitant, **target: str) -> str:
    """Place a legal hold; its id."""
    body = {"tenant_id": str(who.tenant_id), "reason": "test", **target}
    made = archive.world.operator().post("/api/v1/admin/legal-holds", json=body)
    assert made.status_code == 201, made.text
    return str(made.json["id"])


def purge(archive: Archive) -> PurgeReport:
    """A run that has the archive to itself."""
    report = Purger(archive.maintenance, LocalObjects(archive.root)).run()
    assert report is not None
    return report


def listed(who: Inhabitant, kind: str = "actions") -> list[str]:
    """The ids of all records of a tenant, hot and archived, newest first."""
    answer = who.get(f"{LOGS}/{kind}?limit=1000&include=archived")
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json]


def check_statistics(archive: Archive, who: Inhabitant) -> None:
    """Rollups are what the records add up to, in every unit and cell, and for users."""
    said = archive.world.app.test_cli_runner().invoke(
        args=["rollups", "verify", "--tenant", str(who.tenant_id)]
    )
    assert said.exit_code == 0, said.output
    stats = who.get(f"{LOGS}/stats").json
    cold = [row.row_count for row in archive.segments(who.tenant_id) if row.kind == "action"]
    assert stats["total_actions"] == archive.hot(who.tenant_id) + sum(cold)


def test_hot_records_past_their_days_go_and_statistics_with_them(archive: Archive) -> None:
    """Of the log that has the setting, in whole days; of no other tenant."""
    who, other = archive.settle(), archive.settle()
    ages = (days_ago(40), days_ago(31, hours=23, minutes=59), days_ago(30), days_ago(0))
    records = {
        person.tenant_id: [
            action(person.tenant_id, at=at, execution_time_ms=n) for n, at in enumerate(ages)
        ]
        for person in (who, other)
    }
    audits = [audit(who.tenant_id, at=at, user_id=f"u{n}") for n, at in enumerate(ages)]
    archive.world.put(*records[who.tenant_id], *records[other.tenant_id], *audits)
    keep(archive, who, action_days=30)
    assert purge(archive).hot == 2
    assert listed(who) == [str(one.id) for one in records[who.tenant_id][:1:-1]]
    assert len(listed(who, "audits")) == len(listed(other)) == 4
    check_statistics(archive, who)
    check_statistics(archive, other)
    keep(archive, who, audit_days=31, action_days=None)
    assert purge(archive).hot == 1
    assert listed(who, "audits") == [str(one.id) for one in audits[:0:-1]]
    since = days_ago(60).isoformat().replace("+00:00", "Z")
    users = who.get(f"{LOGS}/analytics/user-activity?since={since}").json
    assert {row["user_id"] for row in users} == {"u1", "u2", "u3"}
    check_statistics(archive, who)
    assert purge(archive) == PurgeReport()


def test_a_lot_goes_in_bounded_steps_and_is_right_after_each(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detailed units are cut at every step; what dies in between goes on where it was."""
    monkeypatch.setattr(purging, "ROWS_MAX", 700)
    who = archive.settle()
    at = days_ago(40, hours=10, minutes=58)
    made = [
        action(
            who.tenant_id,
            at=at + timedelta(milliseconds=97 * n),
            execution_time_ms=n % 977,
            provider_name=f"p{n % 3}",
            status=("success", "failure")[n % 5 == 0],
        )
        for n in range(2500)
    ]
    kept = action(who.tenant_id, at=days_ago(2))
    for part in range(0, 2500, 500):
        archive.world.put(*made[part : part + 500])
    archive.world.put(kept)
    keep(archive, who, action_days=30)
    purger, steps = Purger(archive.maintenance, LocalObjects(archive.root)), []
    whole = purger._purge_stretch

    def one_step(*args: Any) -> int:
        purged = whole(*args)
        steps.append(purged)
        check_statistics(archive, who)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return purged

    monkeypatch.setattr(purger, "_purge_stretch", one_step)
    with pytest.raises(KeyboardInterrupt):
        purger.run()
    report = purger.run()
    assert report is not None
    assert steps == [700, 700, 700, 400]
    assert report.hot == 1100
    assert listed(who) == [str(kept.id)]
    check_statistics(archive, who)


def test_archived_days_past_their_time_go_with_their_objects(archive: Archive) -> None:
    """The register says what there was; days that are not wholly past stay."""
    week, who = unused_week(), archive.settle()
    made = [action(who.tenant_id, at=week + timedelta(days=n, hours=5)) for n in range(7)]
    audits = [
        audit(who.tenant_id, at=week + timedelta(days=n, hours=5), user_id=f"u{n}")
        for n in range(3)
    ]
    archive.world.put(*made, *audits)
    archive.run()
    before = archive.segments(who.tenant_id)
    days = (days_ago(0) - week).days - 2  # so that the third day is the first that is kept
    keep(archive, who, action_days=days, audit_days=days)
    report = purge(archive)
    assert (report.hot, report.cold, report.waiting) == (0, 4, {})
    assert listed(who) == [str(one.id) for one in made[:1:-1]]
    assert listed(who, "audits") == [str(audits[2].id)]
    check_statistics(archive, who)
    users = who.get(f"{LOGS}/analytics/user-activity?since=2020-01-01T00:00:00Z").json
    assert [row["user_id"] for row in users] == ["u2"]
    gone = archive.ask(
        "SELECT * FROM purged_segments WHERE tenant_id = :id ORDER BY kind, day", id=who.tenant_id
    )
    assert {row.id for row in gone} == {
        row.id for row in before if row.min_created_at < days_ago(days)
    }
    assert all(row.deleted_at and row.reason == "purged" and row.row_count == 1 for row in gone)
    left = {row.object_key for row in archive.segments(who.tenant_id)}
    assert {str(path.relative_to(archive.root)) for path in archive.files(who.tenant_id)} == left
    assert purge(archive).cold == 0


def test_what_a_hold_covers_stays_hot_and_archived(archive: Archive) -> None:
    """A resource's and a user's record by record; a tenant's all; after its release it goes."""
    # Some months ago: statistics are held against the records day by day from then on.
    monday = days_ago(140) - timedelta(days=days_ago(140).weekday())
    week, who = monday, archive.settle()

    def some(at: datetime) -> list[Any]:
        return [
            audit(who.tenant_id, at=at, user_id="kept", resource_id="x"),
            audit(who.tenant_id, at=at + timedelta(hours=1), user_id="other", resource_id="kept"),
            audit(who.tenant_id, at=at + timedelta(hours=2), user_id="other", resource_id="x"),
            action(who.tenant_id, at=at, request_payload={"by": "kept"}),
            action(who.tenant_id, at=at + timedelta(hours=1), execution_time_ms=5),
        ]

    old, hot = some(week), some(days_ago(45))
    archive.world.put(*old, *hot)
    archive.run()
    keep(archive, who, action_days=30, audit_days=30)
    whole = hold(archive, who)
    report = purge(archive)
    assert (report.hot, report.cold) == (0, 0)
    assert sum(report.held.values()) == 5
    by_user = hold(archive, who, user_id="kept")
    by_resource = hold(archive, who, resource_type="contact", resource_id="kept")
    assert archive.world.operator().post(f"/api/v1/admin/legal-holds/{whole}/release").json
    before = set(archive.files(who.tenant_id))
    report = purge(archive)
    assert (report.hot, report.cold) == (2, 2)
    assert sum(report.held.values()) == 6
    assert sorted(listed(who, "audits")) == sorted(str(one.id) for one in (*old[:2], *hot[:2]))
    assert sorted(listed(who)) == sorted(str(one.id) for one in (old[3], hot[3]))
    check_statistics(archive, who)
    assert len(archive.files(who.tenant_id)) == 2
    assert not before & set(archive.files(who.tenant_id))
    assert (purge(archive).hot, purge(archive).cold) == (0, 0)
    for one in (by_user, by_resource):
        archive.world.operator().post(f"/api/v1/admin/legal-holds/{one}/release")
    report = purge(archive)
    assert (report.hot, report.cold, report.held) == (3, 3, {})
    assert listed(who) == listed(who, "audits") == archive.files(who.tenant_id) == []
    check_statistics(archive, who)


def test_the_database_purges_nothing_whose_time_has_not_ended(archive: Archive) -> None:
    """Whatever it is asked for: the tenant's own setting counts, and no hold is passed over."""
    who = archive.settle()
    archive.world.put(action(who.tenant_id, at=days_ago(50)), action(who.tenant_id, at=days_ago(3)))
    asked = "SELECT * FROM purge_rows('action', :id, '-infinity', :high)"
    with pytest.raises(ProgrammingError, match="has not ended"):
        archive.ask(asked, id=who.tenant_id, high=days_ago(40))
    keep(archive, who, action_days=30)
    for high in (days_ago(29), "infinity"):
        with pytest.raises(ProgrammingError, match="has not ended"):
            archive.ask(asked, id=who.tenant_id, high=high)
    hold(archive, who)
    assert archive.ask(asked, id=who.tenant_id, high=days_ago(30)) == []
    assert archive.hot(who.tenant_id) == 2


def test_a_hold_waits_for_a_purge_at_work_and_the_next_one_for_the_hold(archive: Archive) -> None:
    """So that nothing goes after the answer."""
    who = archive.settle()
    archive.world.put(action(who.tenant_id, at=days_ago(50)))
    keep(archive, who, action_days=30)
    with archive.maintenance.unrestricted_unsafe() as session:
        values = {"id": who.tenant_id, "high": days_ago(30)}
        session.execute(text("SELECT * FROM purge_rows('action', :id, '-infinity', :high)"), values)
        impatient = Database.connect(
            archive.world.opsledger.settings.url_of("maintenance"), statement_timeout_s=0.3
        )
        custody = Custody(impatient, lambda *_, **__: None, who=lambda: "test")
        with pytest.raises(QueryTimeout):
            custody.place_hold(str(who.tenant_id), "test")
        impatient.close()
        session.rollback()
    hold(archive, who)
    assert purge(archive).hot == 0


@pytest.mark.parametrize("value", [0, 29, 3651, 1.5, "x", True])
def test_days_out_of_bounds_are_refused(world: World, value: Any) -> None:
    """By HTTP and by command, which name setting and bounds."""
    who = world.settle()
    path = f"{SETTINGS}/{who.tenant_id}"
    assert "audit_days" in refused_fields(world.operator().patch(path, json={"audit_days": value}))
    said = world.app.test_cli_runner().invoke(
        args=["retention", "set", who.slug, "--audits", str(value)]
    )
    assert said.exit_code == 2
    assert "30 to 3650" in said.output or "must be from" in said.output


def test_the_commands_set_list_and_purge(archive: Archive) -> None:
    """What is set is on record; the list says what is past its time."""
    who = archive.settle()
    archive.world.put(action(who.tenant_id, at=days_ago(50)), action(who.tenant_id))
    runner = archive.world.app.test_cli_runner()
    said = runner.invoke(args=["retention", "set", who.slug, "--actions", "40", "--audits", "ever"])
    assert said.output == "actions: 40 days\naudits: kept for ever\n"
    shown = runner.invoke(args=["retention", "list"]).output
    (line,) = [line.split() for line in shown.splitlines() if str(who.tenant_id) in line]
    assert line[1:3] == ["actions", "40"]
    assert line[-2:] == ["1", "0"]
    with sole_runner(archive.maintenance):
        refused = runner.invoke(args=["retention", "purge"])
        assert (refused.exit_code, "try again later" in refused.output) == (1, True)
    done = runner.invoke(args=["retention", "purge"])
    assert "1 hot and 0 archived records purged" in done.output
    problem_of(who.get(f"{LOGS}/actions/{action(who.tenant_id).id}"), 404)
    assert len(listed(who)) == 1
    assert runner.invoke(args=["retention", "set", who.slug]).exit_code == 2

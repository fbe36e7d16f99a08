"""Restored records: back in Postgres for a time, once in every answer, and gone again after it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from app.domain.identity import format_time
from app.domain.records import Kind
from app.errors import ArchiveDamaged
from app.pipeline import exporting, restoring
from app.pipeline.persist import Outcome
from app.store.archives import sole_runner
from app.store.partitions import partition_name
from tests.integration.test_archive import damage
from tests.support.archive import Archive, days_of, unused_week
from tests.support.world import Inhabitant, action, audit

LOGS = "/api/v1/logs"


def told(archive: Archive) -> tuple[Inhabitant, datetime, list[str]]:
    """A tenant with an old week and records of now; paths that ask for them in every way."""
    week, tenant = unused_week(), archive.settle()
    actions = [
        action(
            tenant.tenant_id,
            at=at + timedelta(seconds=number),
            status="failure" if number % 2 else "success",
            execution_time_ms=10 * number + 1,
            operation_id="op",
            request_payload={"who": f"needle-{number}", "nested": {"n": number}},
        )
        for at in days_of(week)
        for number in range(4)
    ]
    audits = [audit(tenant.tenant_id, at=at, user_id="u-1") for at in days_of(week, 3)]
    archive.world.put(*actions, *audits, action(tenant.tenant_id), audit(tenant.tenant_id))
    cut = format_time(week + timedelta(days=2, hours=10, minutes=7, seconds=4))
    return (
        tenant,
        week,
        [
            f"{LOGS}/actions?limit=1000",
            f"{LOGS}/actions?limit=1000&until={cut}",
            f"{LOGS}/actions?status=failure&limit=9",
            f"{LOGS}/actions?provider_name=hubspot&min_execution_time_ms=20",
            f"{LOGS}/audits?user_id=u-1",
            f"{LOGS}/audits/resource/contact/c-1",
            f"{LOGS}/operations/op?limit=1000",
            f"{LOGS}/actions/{actions[5].id}",
        ],
    )


WITHOUT = ["stats", "stats?until=CUT", "analytics/slowest", "analytics/user-activity"]


def answers(tenant: Inhabitant, week: datetime, paths: list[str], **more: str) -> dict[str, bytes]:
    """What is said at each path, and in statistics."""
    cut = format_time(week + timedelta(days=2, hours=10, minutes=7, seconds=4))
    extra = "".join(f"&{name}={value}" for name, value in more.items())
    asked = [f"{path}{'' if '?' in path else '?'}{extra}" for path in paths]
    asked += [f"{LOGS}/{path.replace('CUT', cut)}" for path in WITHOUT]
    found = {path: tenant.get(path) for path in asked}
    assert {one.status_code for one in found.values()} <= {200, 404}
    return {path: one.data for path, one in found.items() if one.status_code == 200}


def restored(
    archive: Archive, tenant: Inhabitant, week: datetime, days: int = 7, **options: Any
) -> restoring.RestoreReport:
    """What a restore of a week's first days did."""
    keep = options.pop("keep", timedelta(days=1))
    return restoring.restore(
        archive.maintenance,
        archive.objects,
        tenant.tenant_id,
        week,
        week + timedelta(days=days),
        keep_until=datetime.now(UTC) + keep,
    )


def released(archive: Archive, **options: Any) -> int:
    """How many records a release let go."""
    return restoring.release(archive.maintenance, archive.objects, **options)


@pytest.mark.parametrize("kind", ["archive", "bucket_archive"])
def test_a_restored_week_is_in_every_answer_once_as_if_it_had_never_left(
    request: pytest.FixtureRequest, kind: str
) -> None:
    """Byte for byte, with and without include=archived; and after its release as before it."""
    archive: Archive = request.getfixturevalue(kind)
    tenant, week, paths = told(archive)
    hot = answers(tenant, week, paths)
    archive.run()
    cold = answers(tenant, week, paths)
    assert len(cold) < len(hot)
    merged = answers(tenant, week, paths, include="archived")
    report = restored(archive, tenant, week)
    assert (report.rows, report.kept, report.hot) == (31, 0, 0)
    assert answers(tenant, week, paths) == hot
    assert answers(tenant, week, paths, include="archived") == merged
    assert list(merged.values()) == list(hot.values())
    listed = tenant.get(paths[0])
    assert "X-Archived-Until" not in listed.headers
    assert len(listed.json) == len({row["id"] for row in listed.json}) == 29
    found = tenant.get(f"{LOGS}/actions?q=needle-3&limit=1000").json
    assert len(found) == 7
    assert len(tenant.get(f"{LOGS}/actions?payload.nested.n=2").json) == 7
    for archived in (True, False):
        asked = {"kind": "action", "include_archived": archived}
        name = tenant.post("/api/v1/exports", json=asked).json["id"]
        exporting.run_exports(archive.maintenance, archive.world.opsledger.settings)
        assert tenant.get(f"/api/v1/exports/{name}").json["row_count"] == 29
    assert released(archive) == 31
    assert answers(tenant, week, paths) == cold
    assert answers(tenant, week, paths, include="archived") == merged
    assert not archive.partitions() & {partition_name(one, week) for one in Kind}


def test_some_days_are_restored_and_the_others_are_told_of(archive: Archive) -> None:
    """Those of one tenant; the header says what a list still leaves out."""
    tenant, week, paths = told(archive)
    other = archive.settle()
    archive.world.put(action(other.tenant_id, at=week))
    archive.run()
    merged = answers(tenant, week, paths, include="archived")
    assert restored(archive, tenant, week, 2).rows == 10
    listed = tenant.get(f"{LOGS}/actions?limit=1000")
    assert len(listed.json) == 1 + 8
    left_out = datetime.fromisoformat(listed.headers["X-Archived-Until"])
    assert left_out.date() == date.fromordinal(week.toordinal() + 6)
    assert len(tenant.get(f"{LOGS}/operations/op").json) == 8
    assert answers(tenant, week, paths, include="archived") == merged
    assert other.get(f"{LOGS}/actions").json == []
    until = format_time(week + timedelta(days=2))
    listed = tenant.get(f"{LOGS}/actions?until={until}")
    assert (len(listed.json), "X-Archived-Until" in listed.headers) == (8, False)


def test_what_is_restored_goes_when_its_time_is_over(archive: Archive) -> None:
    """By the periodic task; asked for again, it stays longer, and others' days stay, too."""
    settings = archive.world.opsledger.settings
    (one, week, _), other = told(archive), archive.settle()
    archive.world.put(action(other.tenant_id, at=week))
    archive.run()
    for tenant in (one, other):
        restored(archive, tenant, week, keep=timedelta(seconds=-1))
    again = restored(archive, one, week, 1)
    assert (again.rows, again.kept) == (0, 5)
    restored(archive, one, week, 1, keep=timedelta(seconds=-1))  # never shorter
    with sole_runner(archive.maintenance):
        restoring.release_due(archive.maintenance, settings)  # another is at work: the next time
    assert archive.hot(one.tenant_id) == 29
    restoring.release_due(archive.maintenance, settings)
    assert archive.hot(one.tenant_id) == 1 + 4
    assert archive.hot(other.tenant_id) == 0
    assert partition_name(Kind.ACTION, week) in archive.partitions()
    assert released(archive, tenant_id=other.tenant_id) == 0
    assert released(archive, tenant_id=one.tenant_id, until=week) == 0
    assert released(archive, tenant_id=one.tenant_id, since=week) == 5
    assert partition_name(Kind.ACTION, week) not in archive.partitions()
    assert archive.run().dropped == []


def test_a_run_of_the_archive_and_late_records_leave_it_as_it_is(archive: Archive) -> None:
    """A late record of a restored day is archived beside it, and counted once."""
    tenant, week, _ = told(archive)
    archive.run()
    restored(archive, tenant, week)
    late = action(tenant.tenant_id, at=week + timedelta(hours=3))
    assert archive.world.put(late) == Outcome(late=1)
    report = archive.run()
    assert (report.dropped, report.rows, report.late) == ([], 0, 1)
    assert archive.world.put(late) == Outcome(late=1)  # a redelivery
    assert archive.run().late == 0
    assert archive.hot(tenant.tenant_id) == 29
    listed = tenant.get(f"{LOGS}/actions?include=archived&limit=1000").json
    assert len(listed) == len({row["id"] for row in listed}) == 30
    assert tenant.get(f"{LOGS}/stats").json["total_actions"] == 30
    assert restored(archive, tenant, week).rows == 1
    assert len(tenant.get(f"{LOGS}/actions?limit=1000").json) == 30
    assert tenant.get(f"{LOGS}/stats").json["total_actions"] == 30
    assert released(archive) == 32


def test_late_records_of_a_week_that_never_was_are_restored_as_well(archive: Archive) -> None:
    """Its partition is no hot one: no run archives it again."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week))
    archive.run()
    _forget_partition(archive, partition_name(Kind.ACTION, week))
    assert restored(archive, tenant, week).rows == 1
    assert archive.run().dropped == []
    assert archive.hot(tenant.tenant_id) == 1
    assert released(archive) == 1


def test_a_week_that_is_hot_cannot_be_restored(archive: Archive) -> None:
    """There its records are; it is told how many days were left out."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week))
    archive.run()
    name = partition_name(Kind.ACTION, week)
    _forget_partition(archive, name)
    with archive.maintenance.unrestricted_unsafe() as session:
        session.execute(text("SELECT ensure_partition('action_logs', :at)"), {"at": week})
    report = restored(archive, tenant, week)
    assert (report.rows, report.hot) == (0, 1)
    _as_owner(archive, f"DROP TABLE {name}")


def _forget_partition(archive: Archive, name: str) -> None:
    """As if late records alone had come of that week."""
    _as_owner(archive, f"DELETE FROM archived_partitions WHERE name = '{name}'")


def _as_owner(archive: Archive, statement: str) -> None:
    engine = create_engine(archive.world.opsledger.settings.url_of("owner"))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize("harm", [damage, Path.unlink])
def test_what_the_archive_does_not_have_as_it_was_is_not_restored(
    archive: Archive, harm: Any
) -> None:
    """Not a row of that day; and nothing is released whose object is gone."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(*(action(tenant.tenant_id, at=at) for at in days_of(week, 2)))
    archive.run()
    restored(archive, tenant, week, 1)
    for path in archive.files(tenant.tenant_id):
        harm(path)
    with pytest.raises(ArchiveDamaged):
        restored(archive, tenant, week)
    assert archive.hot(tenant.tenant_id) == 1
    assert released(archive) == (0 if harm is Path.unlink else 1)
    archive.root.mkdir(exist_ok=True)


def test_the_database_releases_nothing_but_copies(archive: Archive) -> None:
    """Whoever calls its functions: neither a hot partition nor one with rows."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week))
    name = partition_name(Kind.ACTION, week)
    of = {"t": tenant.tenant_id, "day": week.date()}
    for statement, values in (
        ("SELECT release_restored(:t, 'action', :day)", of),
        ("SELECT drop_released(:name)", {"name": name}),
        ("SELECT drop_released('tenants')", {}),
        ("SELECT restore_partition('tenants', now())", {}),
        (f"DELETE FROM {name}", {}),
        (f"INSERT INTO {name} SELECT * FROM {name}", {}),
    ):
        with pytest.raises(DBAPIError):
            archive.ask(statement, **values)
    assert archive.hot(tenant.tenant_id) == 1
    archive.run()
    restored(archive, tenant, week)
    assert archive.ask("SELECT drop_released(:name)", name=name)[0][0] is False
    with pytest.raises(DBAPIError):
        archive.ask(f"DELETE FROM {name}")
    assert archive.hot(tenant.tenant_id) == 1
    released(archive)


def test_the_command_restores_and_releases(archive: Archive) -> None:
    """And says how many; what it did is on record in the tenant's audit log."""
    tenant, week, _ = told(archive)
    archive.run()
    runner = archive.world.app.test_cli_runner()
    window = ["--since", str(week.date()), "--until", f"{week + timedelta(days=3):%Y-%m-%d}"]
    of = ["restore", "--tenant", tenant.slug, *window]
    done = runner.invoke(args=[*of, "--days", "3"])
    assert done.exit_code == 0, done.output
    assert "15 records restored until" in done.output
    (row,) = archive.ask(
        "SELECT DISTINCT restored_until::date FROM archives"
        " WHERE tenant_id = :id AND restored_until IS NOT NULL",
        id=tenant.tenant_id,
    )
    assert row[0] == (datetime.now(UTC) + timedelta(days=3)).date()
    done = runner.invoke(args=[*of, "--release"])
    assert "15 records are in the archive alone again" in done.output
    with sole_runner(archive.maintenance):
        refused = runner.invoke(args=of)
    assert (refused.exit_code, "Somebody works on the archive" in refused.output) == (1, True)
    wrong = runner.invoke(
        args=["restore", "--tenant", tenant.slug, *window[2:], "--since", "2999-01-01"]
    )
    assert (wrong.exit_code, "after --since" in wrong.output) == (2, True)
    assert runner.invoke(args=["restore", "--tenant", "nobody", *window]).exit_code == 1

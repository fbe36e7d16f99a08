"""A run of the archive: old weeks become verified Parquet, and only then are dropped."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from app.domain.records import Kind
from app.errors import ArchiveDamaged
from app.pipeline import archiving
from app.pipeline.persist import Outcome
from app.store.archives import sole_runner
from app.store.objects import LocalObjects
from app.store.partitions import partition_name
from tests.support.archive import Archive, days_of, unused_week
from tests.support.samples import metric
from tests.support.world import action, audit

NASTY = 'quote " comma , tab \t line \n return \r backslash \\N \\ euro \u20ac'


def test_an_old_week_becomes_files_by_tenant_kind_and_day_and_is_dropped(archive: Archive) -> None:
    """One file each; the partition goes, the register says what is where; a new week stays."""
    week, one, other = unused_week(), archive.settle(), archive.settle()
    actions = [action(who.tenant_id, at=at) for who in (one, other) for at in days_of(week)]
    audits = [audit(one.tenant_id, at=at) for at in days_of(week, 2)]
    fresh = action(one.tenant_id)
    archive.world.put(*actions, *audits, fresh)
    archived = metric("opsledger_archived_total")
    report = archive.run()
    assert set(report.dropped) == {partition_name(kind, week) for kind in Kind}
    assert report.rows == len(actions) + len(audits)
    assert report.finished
    assert metric("opsledger_archived_total") == archived + report.rows
    assert archive.hot(one.tenant_id) == 1
    assert archive.hot(other.tenant_id) == 0
    assert archive.hot(one.tenant_id, "audit_logs") == 0
    assert not archive.partitions() & {partition_name(kind, week) for kind in Kind}
    registered = archive.segments(one.tenant_id)
    assert [(row.kind, row.day) for row in registered] == [
        *(("action", (week + timedelta(days=day)).date()) for day in range(7)),
        *(("audit", (week + timedelta(days=day)).date()) for day in range(2)),
    ]
    for row, at in zip(registered, days_of(week), strict=False):
        assert (row.state, row.row_count) == ("cold", 1)
        assert row.min_created_at == row.max_created_at == at
        path = archive.root / row.object_key
        assert row.object_key == (
            f"tenant_id={one.tenant_id}/kind={row.kind}/date={row.day}/{row.id}.parquet"
        )
        assert path.stat().st_size == row.bytes
        assert hashlib.sha256(path.read_bytes()).digest() == bytes(row.file_sha256)
    assert len(archive.files(one.tenant_id)) == 9
    assert archive.run() == archiving.Report([], {})


def test_another_engine_reads_a_day_by_its_documented_path(archive: Archive) -> None:
    """All values come back as Postgres had them, in order, with types that fit."""
    week, tenant = unused_week(), archive.settle()
    made = [
        action(
            tenant.tenant_id,
            at=week + timedelta(hours=hour, milliseconds=hour),
            request_payload={"b": NASTY, "a": [1, 2.5, None, 10**30]},
            response_data=None if hour % 2 else {"": ""},
            error_message=[None, "", NASTY][hour % 3],
            operation_id="op" if hour % 2 else None,
            metadata={"k": hour},
            execution_time_ms=hour,
        )
        for hour in (3, 1, 2, 0)
    ]
    archive.world.put(*made)
    columns = (
        "id::text, action_type, provider_name, status, execution_time_ms, operation_id,"
        " error_message, request_payload::text, response_data::text, metadata::text,"
        " (date_part('epoch', created_at) * 1000000)::bigint,"
        " (date_part('epoch', updated_at) * 1000000)::bigint, batch_id::text"
    )
    before = archive.ask(
        f"SELECT {columns} FROM action_logs WHERE tenant_id = :tenant_id ORDER BY created_at, id",
        tenant_id=tenant.tenant_id,
    )
    archive.run()
    path = f"{archive.root}/tenant_id={tenant.tenant_id}/kind=action/date={week.date()}/*.parquet"
    columns = columns.replace("::text", "")
    found = duckdb.connect()
    rows = found.execute(f"SELECT {columns} FROM read_parquet('{path}')").fetchall()
    assert [tuple(row) for row in rows] == [tuple(row) for row in before]
    (said,) = found.execute(
        f"SELECT DISTINCT tenant_id, kind, date FROM read_parquet('{path}', hive_partitioning=true)"
    ).fetchall()
    assert tuple(map(str, said)) == (str(tenant.tenant_id), "action", str(week.date()))


def test_a_file_says_what_helps_engines_to_read_little(archive: Archive) -> None:
    """Zstandard, sorted, statistics, page index; Bloom filters where they are worth it."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(
        *(action(tenant.tenant_id, at=week + timedelta(seconds=s)) for s in range(1200)),
        audit(tenant.tenant_id, at=week),
    )
    archive.run()
    large, small = (pq.ParquetFile(path) for path in archive.files(tenant.tenant_id))
    group = large.metadata.row_group(0)
    by_name = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {column.compression for column in by_name.values()} == {"ZSTD"}
    assert by_name["created_at"].statistics.min == week
    assert by_name["created_at"].statistics.max == week + timedelta(seconds=1199)
    assert [column.column_index for column in group.sorting_columns] == [0, 1]
    assert by_name["id"].has_column_index
    assert large.metadata.metadata[b"opsledger.schema_version"] == b"1"
    assert large.metadata.metadata[b"opsledger.tenant_id"] == str(tenant.tenant_id).encode()
    filtered = duckdb.execute(
        "SELECT path_in_schema FROM parquet_metadata(?) WHERE bloom_filter_offset IS NOT NULL",
        [str(archive.files(tenant.tenant_id)[0])],
    ).fetchall()
    assert filtered == [("id",), ("operation_id",)]
    assert small.metadata.num_rows == 1


def test_a_dry_run_tells_and_leaves_all_as_it_is(archive: Archive) -> None:
    """By the command, which says how many records it would archive."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(*(action(tenant.tenant_id, at=at) for at in days_of(week)))
    runner = archive.world.app.test_cli_runner()
    said = runner.invoke(args=["archive", "run", "--dry-run"])
    assert said.exit_code == 0, said.output
    name = partition_name(Kind.ACTION, week)
    (line,) = [line.split() for line in said.output.splitlines() if line.startswith(name)]
    assert line == [name, "1", "7", "7"]
    assert archive.hot(tenant.tenant_id) == 7
    assert archive.files(tenant.tenant_id) == archive.segments(tenant.tenant_id) == []
    done = runner.invoke(args=["archive", "run"])
    assert done.exit_code == 0, done.output
    assert "7 records exported, 1 partitions dropped" in done.output
    assert archive.hot(tenant.tenant_id) == 0


def test_the_hot_window_is_exact(archive: Archive) -> None:
    """A week that ends where the window begins goes; one that ends a moment later stays."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week))
    end = week + timedelta(days=7 + 90)
    assert archive.run(clock=lambda: end - timedelta(milliseconds=1)).dropped == []
    assert archive.run(clock=lambda: end).dropped == [partition_name(Kind.ACTION, week)]


def test_only_one_runner_is_at_work(archive: Archive) -> None:
    """The other says so and does nothing."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week))
    with sole_runner(archive.maintenance) as alone:
        assert alone
        assert archive.archiver().run() is None
        said = archive.world.app.test_cli_runner().invoke(args=["archive", "run"])
        assert (said.exit_code, "Another runner" in said.output) == (1, True)
    assert archive.hot(tenant.tenant_id) == 1
    assert archive.run().rows == 1


class Interfered(LocalObjects):
    """A folder in which something happens right after an object was put."""

    def __init__(self, root: Path, then: Any) -> None:
        super().__init__(root)
        self._then = then

    def put(self, key: str, source: Path) -> None:
        super().put(key, source)
        self._then(self._root / key)


def test_rows_that_come_while_a_day_is_exported_are_exported_too(archive: Archive) -> None:
    """The day is made anew under another key; nothing of the first try is left."""
    week, tenant = unused_week(), archive.settle()
    first, second = (action(tenant.tenant_id, at=week + timedelta(hours=h)) for h in (1, 2))
    archive.world.put(first)
    left = [lambda: archive.world.put(second)]
    report = archive.run(objects=Interfered(archive.root, lambda _: left and left.pop()()))
    assert report.finished
    assert report.rows == 3
    (path,) = archive.files(tenant.tenant_id)
    assert pq.read_table(path)["id"].to_pylist() == [str(first.id), str(second.id)]
    assert [row.row_count for row in archive.segments(tenant.tenant_id)] == [2]


def test_a_row_that_was_changed_since_its_export_is_exported_again(archive: Archive) -> None:
    """As erasure changes it: the count is the same, and the fingerprint is not."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week, error_message="old"))
    owner = archive.world.opsledger.settings.url_of("owner")

    def change() -> None:
        engine = create_engine(owner)
        with engine.begin() as connection:
            statement = text(
                "WITH old AS (DELETE FROM action_logs WHERE tenant_id = :id RETURNING *)"
                " INSERT INTO action_logs SELECT (jsonb_populate_record("
                'old::action_logs, \'{"error_message": "new"}\')).* FROM old'
            )
            connection.execute(statement, {"id": tenant.tenant_id})
        engine.dispose()

    left = [change]
    archive.run(objects=Interfered(archive.root, lambda _: left and left.pop()()))
    (path,) = archive.files(tenant.tenant_id)
    assert pq.read_table(path)["error_message"].to_pylist() == ["new"]


def damage(path: Path) -> None:
    """Turn one bit of the file around."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [damage, Path.unlink])
def test_what_does_not_read_back_as_it_was_written_drops_nothing(
    archive: Archive, harm: Any
) -> None:
    """The run fails and says why; the next one, on a sound disk, finishes."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(*(action(tenant.tenant_id, at=at) for at in days_of(week)))
    failed = metric("opsledger_archive_runs_total", outcome="failed")
    with pytest.raises(ArchiveDamaged):
        archive.run(objects=Interfered(archive.root, harm))
    assert metric("opsledger_archive_runs_total", outcome="failed") == failed + 1
    assert archive.hot(tenant.tenant_id) == 7
    assert archive.segments(tenant.tenant_id) == []
    assert archive.run().rows == 7
    assert len(archive.files(tenant.tenant_id)) == 7
    assert archive.hot(tenant.tenant_id) == 0


def test_a_partition_in_use_stays_until_it_is_free(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long reader does not hold others up behind the run, and the next run drops it."""
    monkeypatch.setattr(archiving, "DROP_TRIES_MAX", 2)
    monkeypatch.setattr(archiving, "DROP_PAUSE_S", 0.01)
    week, tenant = unused_week(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week))
    name = partition_name(Kind.ACTION, week)
    with archive.maintenance.unrestricted_unsafe(snapshot=True):
        assert archive.run().waiting == {name: "it is in use"}
        assert archive.hot(tenant.tenant_id) == 1
    again = archive.run()
    assert (again.rows, again.dropped) == (0, [name])


def test_what_arrives_for_an_archived_week_is_late(archive: Archive) -> None:
    """No partition is made beside the archive, whatever the clock of a worker says."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week))
    archive.run()
    assert archive.world.put(action(tenant.tenant_id, at=week)) == Outcome(late=1)
    assert partition_name(Kind.ACTION, week) not in archive.partitions()


def test_the_database_drops_nothing_that_the_register_does_not_have(archive: Archive) -> None:
    """Whoever calls it: it names the days that are missing."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(action(tenant.tenant_id, at=week))
    name = partition_name(Kind.ACTION, week)
    found = archive.ask("SELECT tenant_id, day FROM drop_archived(:leaf)", leaf=name)
    assert found == [(tenant.tenant_id, week.date())]
    assert archive.hot(tenant.tenant_id) == 1


def test_a_run_whose_time_is_up_goes_on_where_it_was(archive: Archive) -> None:
    """What it registered is not exported twice."""
    week, tenant = unused_week(), archive.settle()
    archive.world.put(*(action(tenant.tenant_id, at=at) for at in days_of(week)))
    report = archive.archiver().run(run_s_max=0)
    assert report is not None
    assert list(report.waiting.values()) == ["the time of this run is up"]
    kept = archive.archiver(progress=_stop_after(3))
    with pytest.raises(KeyboardInterrupt):
        kept.run()
    exported = {row.id for row in archive.segments(tenant.tenant_id)}
    assert len(exported) == 3
    assert archive.run().rows == 4
    assert exported < {row.id for row in archive.segments(tenant.tenant_id)}


def _stop_after(days: int) -> Any:
    left = [days]

    def progress(_: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    return progress

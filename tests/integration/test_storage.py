"""How full storage is: by tenant and month, and when a disk is full; by command and over HTTP."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.storage import forecast
from app.pipeline import restoring
from app.pipeline.folding import fold_waiting
from tests.conftest import opened_archive
from tests.support.archive import Archive, days_of, unused_week
from tests.support.world import action, audit, problem_of

GB = 10**9


def shown(archive: Archive) -> dict[str, Any]:
    """What the endpoint says."""
    response = archive.world.operator().get("/api/v1/admin/storage")
    assert response.status_code == 200, response.data
    return dict(response.json)


def of(archive: Archive, tenant_id: Any) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Hot, cold and restored rows of a tenant, by log and month; bytes agree with them."""
    found = {}
    for usage in shown(archive)["usages"]:
        if usage["tenant_id"] == str(tenant_id):
            here = usage["hot_rows"] + usage["restored_rows"]
            assert (usage["heap_bytes"] > 0) == (usage["index_bytes"] > 0) == (here > 0)
            assert (usage["cold_bytes"] > 0) == (usage["cold_rows"] > 0)
            rows = (usage["hot_rows"], usage["cold_rows"], usage["restored_rows"])
            found[usage["kind"], usage["month"]] = rows
    return found


@pytest.mark.parametrize("folded", [True, False])
def test_rows_and_bytes_are_told_by_tenant_and_month(archive: Archive, folded: bool) -> None:
    """Hot, archived and restored; whether they are folded or not."""
    week, tenant, other = unused_week(), archive.settle(), archive.settle()
    archive.world.put(*(action(tenant.tenant_id, at=at) for at in days_of(week, 5)))
    archive.world.put(action(other.tenant_id, at=week))
    archive.run()
    archive.world.put(*(action(tenant.tenant_id) for _ in range(3)), audit(tenant.tenant_id))
    if folded:
        fold_waiting(archive.maintenance, batches=1, age_s=0)
    now, months = f"{datetime.now(UTC):%Y-%m}", {f"{at:%Y-%m}" for at in days_of(week, 5)}
    found = of(archive, tenant.tenant_id)
    assert (found["action", now], found["audit", now]) == ((3, 0, 0), (1, 0, 0))
    assert sum(found["action", month][1] for month in months) == 5
    assert sum(found["action", month][0] for month in months) == 0
    assert of(archive, other.tenant_id) == {("action", f"{week:%Y-%m}"): (0, 1, 0)}
    restoring.restore(
        *(archive.maintenance, archive.objects, tenant.tenant_id, week, week + timedelta(days=1)),
        keep_until=datetime.now(UTC) + timedelta(days=1),
    )
    assert of(archive, tenant.tenant_id)["action", f"{week:%Y-%m}"][2] == 1
    restoring.release(archive.maintenance, archive.objects)


def test_disks_are_told_with_what_grows_on_them(archive: Archive) -> None:
    """And the archive's last run; only the operator is told."""
    tenant = archive.settle()
    archive.world.put(*(action(tenant.tenant_id) for _ in range(50)))
    body = shown(archive)
    (actions, audits) = body["hot"]
    assert (actions["kind"], audits["kind"]) == ("action", "audit")
    assert actions["rows"] >= 50
    assert actions["rows_per_day"] >= 50 / 7
    assert [disk["name"] for disk in body["disks"]] == [
        *("the database's disk", "the archive's disk", "this host's data disk"),
    ]
    database, files, _ = body["disks"]
    assert (database["bytes_total"], database["days_until_full"]) == (None, None)
    assert database["bytes_used"] > actions["heap_bytes"]
    assert database["bytes_per_day"] > 0
    assert files["bytes_total"] > files["bytes_used"] > 0
    assert body["archive"]["outcome"] == "done"
    problem_of(tenant.get("/api/v1/admin/storage"), 403)


def test_the_command_warns_past_its_thresholds(
    archive: Archive, archive_environment: dict[str, str], tmp_path: Path
) -> None:
    """It shows all of it, and ends with 1 if there is a warning; the doctor has it too."""
    tenant = archive.settle()
    archive.world.put(action(tenant.tenant_id))
    runner = archive.world.app.test_cli_runner()
    calm = runner.invoke(args=["storage"])
    assert tenant.slug in calm.output
    assert "DAYS UNTIL FULL" in calm.output
    totals = runner.invoke(args=["storage", "--totals"])
    assert tenant.slug not in totals.output
    settings = replace(archive.world.opsledger.settings, storage_bytes=1000)
    with opened_archive(settings, tmp_path) as crowded:
        said = crowded.world.app.test_cli_runner().invoke(args=["storage", "--totals"])
        assert said.exit_code == 1
        assert "WARNING: the database's disk is full in 0 days" in said.output
        doctor = crowded.world.app.test_cli_runner().invoke(args=["doctor"]).output
        assert "storage: FILLS UP: the database's disk is full in 0 days" in doctor
    assert archive_environment


def test_a_bucket_has_no_end(bucket_archive: Archive) -> None:
    """It grows, and is never full; this host's disk, which has the cache, may be."""
    body = shown(bucket_archive)
    names = [disk["name"] for disk in body["disks"]]
    assert names == ["the database's disk", "the bucket", "this host's data disk"]
    assert (body["disks"][1]["bytes_total"], body["disks"][1]["days_until_full"]) == (None, None)


@pytest.mark.parametrize(
    ("used", "total", "per_day", "levels_off_at", "days"),
    [
        (60 * GB, 100 * GB, GB, None, 40),
        (60 * GB, 100 * GB, GB, 99 * GB, None),  # the archive takes as much as comes by then
        (60 * GB, 100 * GB, GB, 120 * GB, 40),
        (60 * GB, None, GB, None, None),
        (60 * GB, 100 * GB, 0.0, None, None),
        (100 * GB, 100 * GB, 0.0, None, 0),
        (1, 100 * GB, 0.1, None, None),
    ],
)
def test_a_disk_is_full_when_what_comes_has_no_room(
    used: int, total: int | None, per_day: float, levels_off_at: float | None, days: int | None
) -> None:
    """If it goes on like this, and unless as much leaves by then."""
    disk = forecast("it", used=used, total=total, per_day=per_day, levels_off_at=levels_off_at)
    assert disk.days_until_full == days


def test_a_disk_warns_by_days_and_by_share() -> None:
    """Each by its threshold."""
    disk = forecast("it", used=81 * GB, total=100 * GB, per_day=GB)
    assert list(disk.warnings(30, 80)) == ["it is full in 19 days", "81 % of it is taken"]
    assert list(disk.warnings(19, 81)) == []

"""The archive in a bucket: the same runs, the same answers, over a real server of S3."""

import hashlib
import json
import zlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.config import Settings
from app.pipeline import exporting
from app.store import s3
from tests.conftest import opened_archive
from tests.support.archive import Archive, days_of, unused_week
from tests.support.buckets import PLAIN, Seaweed
from tests.support.world import Inhabitant, action, audit, problem_of


def told(archive: Archive) -> tuple[Inhabitant, list[str]]:
    """A tenant with an old week and something of now; paths whose answers are of all of it."""
    week, tenant = unused_week(), archive.settle()
    records = [
        action(
            tenant.tenant_id,
            at=at + timedelta(minutes=minute),
            execution_time_ms=minute,
            operation_id="op",
            request_payload={"text": "x\u20ac" * minute},
        )
        for at in days_of(week)
        for minute in range(3)
    ]
    audits = [audit(tenant.tenant_id, at=at) for at in days_of(week, 3)]
    archive.world.put(*records, *audits, action(tenant.tenant_id), audit(tenant.tenant_id))
    logs = "/api/v1/logs"
    return tenant, [
        f"{logs}/actions?include=archived&limit=7",
        f"{logs}/audits?include=archived",
        f"{logs}/audits/resource/contact/c-1?include=archived",
        f"{logs}/operations/op?include=archived",
        f"{logs}/actions/{records[4].id}?include=archived",
        f"{logs}/stats",
        f"{logs}/stats?until={(week + timedelta(days=2, hours=10, minutes=9)).isoformat()[:19]}Z",
        f"{logs}/analytics/slowest",
    ]


def answers(tenant: Inhabitant, paths: list[str]) -> list[bytes]:
    """What is said at each path."""
    found = [tenant.get(path) for path in paths]
    assert {response.status_code for response in found} == {200}, [one.data for one in found]
    return [response.data for response in found]


def test_a_week_in_a_bucket_answers_as_it_did_in_postgres(
    bucket_archive: Archive, bucket_settings: Settings, seaweed: Seaweed
) -> None:
    """Byte for byte; its objects lie as documented, and nothing of them is left on the host."""
    archive = bucket_archive
    tenant, paths = told(archive)
    before = answers(tenant, paths)
    report = archive.run()
    assert (report.finished, report.rows) == (True, 24)
    assert archive.hot(tenant.tenant_id) == 1
    assert list(archive.objects.scratch.iterdir()) == []
    assert not (bucket_settings.data_dir / "archive").exists()
    prefix = bucket_settings.archive_url.partition(f"{PLAIN}/")[2]
    for row in archive.segments(tenant.tenant_id):
        found = seaweed.access().client().get_object(Bucket=PLAIN, Key=f"{prefix}/{row.object_key}")
        assert hashlib.sha256(found["Body"].read()).digest() == bytes(row.file_sha256)
    assert answers(tenant, paths) == before
    assert answers(tenant, paths) == before  # of the cache


def test_a_query_opens_the_files_of_its_tenant_alone(
    bucket_archive: Archive, bucket_settings: Settings
) -> None:
    """Those of others, and of days that are not asked for, do not even come to this host."""
    archive, week = bucket_archive, unused_week()
    one, other = archive.settle(), archive.settle()
    archive.world.put(
        *(action(who.tenant_id, at=at) for who in (one, other) for at in days_of(week, 4))
    )
    archive.run()
    until = (week + timedelta(days=2)).date().isoformat()
    path = f"/api/v1/logs/actions?include=archived&until={until}T00:00:00Z"
    assert len(one.get(path).json) == 2
    came = {path.stem for path in archive.objects.folder.iterdir()}
    assert came == {bytes(row.file_sha256).hex() for row in archive.segments(one.tenant_id)[:2]}
    assert bucket_settings.archive_work_dir.absolute() in archive.objects.folder.parents


def test_the_cache_stays_within_its_bound_however_much_is_read(
    bucket_settings: Settings, tmp_path: Path
) -> None:
    """What one query opens at once must fit; if not, it says what to change and the next works."""
    settings = replace(bucket_settings, archive_cache_bytes=12_000)
    with opened_archive(settings, tmp_path) as archive:
        week, tenant = unused_week(), archive.settle()
        archive.world.put(*(action(tenant.tenant_id, at=at) for at in days_of(week)))
        archive.run()
        sizes = [row.bytes for row in archive.segments(tenant.tenant_id)]
        assert sum(sizes) > 2 * 12_000
        found = set()
        for day in days_of(week):
            since, until = (f"{(day + timedelta(days=n)).date()}T00:00:00Z" for n in (0, 1))
            path = f"/api/v1/logs/actions?include=archived&since={since}&until={until}"
            found |= {row["id"] for row in tenant.get(path).json}
            kept = sum(file.stat().st_size for file in archive.objects.folder.iterdir())
            assert kept <= 12_000
        assert len(found) == 7
        problem = problem_of(tenant.get("/api/v1/logs/actions?include=archived&limit=1000"), 503)
        assert problem["type"].endswith("archive-unavailable")


def test_an_export_in_a_bucket_is_downloaded_in_parts(
    bucket_archive: Archive, bucket_settings: Settings, monkeypatch: Any
) -> None:
    """By the signed link; it goes on where it stopped, and is gone after its time."""
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 1024 * 1024)
    archive = bucket_archive
    tenant, _ = told(archive)
    archive.run()
    asked = tenant.post(
        "/api/v1/exports", json={"kind": "action", "format": "jsonl", "include_archived": True}
    ).json
    exporting.run_exports(archive.maintenance, bucket_settings)
    shown = tenant.get(f"/api/v1/exports/{asked['id']}").json
    assert (shown["state"], shown["row_count"]) == ("ready", 22), shown
    client, link = archive.world.app.test_client(), shown["url"].partition("localhost")[2]
    first = client.get(link, headers={"Range": "bytes=0-99"})
    rest = client.get(link, headers={"Range": "bytes=100-"})
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.headers["Content-Range"] == f"bytes 0-99/{shown['bytes']}"
    whole = client.get(link)
    assert (whole.status_code, whole.content_length) == (200, shown["bytes"])
    assert first.data + rest.data == whole.data
    assert hashlib.sha256(whole.data).hexdigest() == shown["sha256"]
    lines = zlib.decompress(whole.data, 47).splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 22
    problem_of(client.get(link, headers={"Range": "bytes=99999999-"}), 416)
    unchanged = client.get(link, headers={"If-None-Match": whole.headers["ETag"]})
    assert unchanged.status_code == 304
    exporting.run_exports(archive.maintenance, replace(bucket_settings, export_file_hours=0))
    assert archive.world.opsledger.settings == bucket_settings
    assert archive.objects.list("exports/") == []

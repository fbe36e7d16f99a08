"""Exports: asked for, made by a worker, downloaded by a signed link; and streamed at once."""

import csv
import gzip
import hashlib
import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.domain import exports as rules
from app.pipeline import exporting
from app.store import everything
from tests.support.archive import Archive, unused_week
from tests.support.world import Inhabitant, World, action, audit, problem_of, refused_fields

FORMULA = "=cmd()"


@pytest.fixture
def told(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> tuple[Archive, Inhabitant, list[Any]]:
    """A tenant with archived and hot records, read in small pages."""
    monkeypatch.setattr(everything, "PAGE_ROWS", 7)
    tenant, other, week = archive.settle(), archive.settle(), unused_week()
    old = [
        action(
            tenant.tenant_id,
            at=week + timedelta(hours=hour),
            error_message=FORMULA if hour % 3 else None,
            request_payload={"a": [1, 2.5, None], "b": 'line\n"quote"'},
            response_data=None if hour % 2 else {"ok": True},
            status="failure" if hour % 2 else "success",
        )
        for hour in range(20)
    ]
    archive.world.put(*old, action(other.tenant_id, at=week))
    archive.run()
    hot = [action(tenant.tenant_id) for _ in range(20)]
    archive.world.put(*hot, action(other.tenant_id), audit(tenant.tenant_id))
    return archive, tenant, sorted([*old, *hot], key=lambda one: one.id, reverse=True)


def ask(tenant: Inhabitant, **wanted: Any) -> dict[str, Any]:
    """An export that was asked for."""
    response = tenant.post("/api/v1/exports", json={"kind": "action", **wanted})
    assert response.status_code == 202, response.get_data(as_text=True)
    return dict(response.json)


def made(archive: Archive, tenant: Inhabitant, **wanted: Any) -> tuple[dict[str, Any], bytes]:
    """An export that a worker made, and its file."""
    asked = ask(tenant, **wanted)
    assert (asked["state"], asked["url"]) == ("pending", None)
    exporting.run_exports(archive.maintenance, archive.world.opsledger.settings)
    shown = tenant.get(f"/api/v1/exports/{asked['id']}").json
    assert (shown["state"], shown["percent"]) == ("ready", 100), shown
    response = archive.world.app.test_client().get(shown["url"].partition("localhost")[2])
    assert response.status_code == 200
    assert hashlib.sha256(response.data).hexdigest() == shown["sha256"]
    assert len(response.data) == shown["bytes"]
    return shown, response.data


def test_an_export_has_every_record_once_hot_and_archived(told: Any) -> None:
    """As JSON lines, each as the API shows the record; newest first."""
    archive, tenant, records = told
    shown, data = made(archive, tenant, format="jsonl", include_archived=True)
    lines = [json.loads(line) for line in gzip.decompress(data).splitlines()]
    assert [line["id"] for line in lines] == [str(one.id) for one in records]
    assert shown["row_count"] == len(records)
    for line in (lines[0], lines[-1]):
        found = tenant.get(f"/api/v1/logs/actions/{line['id']}?include=archived")
        assert line == found.json


def test_csv_is_whole_and_no_spreadsheet_runs_it(told: Any) -> None:
    """Without the archive, by a filter; formulas are texts."""
    archive, tenant, records = told
    _, data = made(
        archive, tenant, include_archived=True, filters={"status": ["failure"], "until": UNTIL}
    )
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(data).decode(), newline="")))
    expected = [one for one in records if one.status == "failure"]
    assert [row["id"] for row in rows] == [str(one.id) for one in expected]
    assert {row["error_message"] for row in rows} == {"", f"'{FORMULA}"}
    assert json.loads(rows[0]["request_payload"]) == expected[0].request_payload
    _, data = made(archive, tenant)
    assert len(list(csv.reader(io.StringIO(gzip.decompress(data).decode())))) == 21


UNTIL = "2026-01-01T00:00:00Z"


def test_parquet_is_read_by_others(told: Any) -> None:
    """With times as times and payloads as JSON text."""
    archive, tenant, records = told
    _, data = made(archive, tenant, format="parquet", include_archived=True)
    table = pq.read_table(io.BytesIO(data))
    assert table["id"].to_pylist() == [str(one.id) for one in records]
    assert table["created_at"].to_pylist()[-1] == records[-1].created_at
    assert json.loads(table["request_payload"][-1].as_py()) == records[-1].request_payload


def test_a_download_goes_on_where_it_stopped_and_its_link_is_signed(told: Any) -> None:
    """Ranges work; a link that was changed, or is too old, leads nowhere."""
    archive, tenant, _ = told
    shown, data = made(archive, tenant, format="jsonl")
    client, link = archive.world.app.test_client(), shown["url"].partition("localhost")[2]
    part = client.get(link, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, data[10:20])
    problem_of(client.get(link.replace("signature=", "signature=0")[:-1]), 404)
    expires = link.partition("expires=")[2].partition("&")[0]
    problem_of(client.get(link.replace(expires, str(int(expires) + 1))), 404)
    other = archive.settle()
    problem_of(other.get(f"/api/v1/exports/{shown['id']}"), 404)
    problem_of(client.get(link.replace(str(tenant.tenant_id), str(other.tenant_id))), 404)


def test_a_file_is_removed_when_its_time_is_over(told: Any) -> None:
    """The export is expired then, and stays on record."""
    archive, tenant, _ = told
    shown, _ = made(archive, tenant)
    settings = replace(archive.world.opsledger.settings, export_file_hours=0)
    exporting.run_exports(archive.maintenance, settings)
    after = tenant.get(f"/api/v1/exports/{shown['id']}").json
    assert (after["state"], after["url"]) == ("expired", None)
    folder = archive.world.opsledger.settings.archive_dir / "exports" / str(tenant.tenant_id)
    assert list(folder.iterdir()) == []


def test_an_archive_that_cannot_be_read_fails_the_export_and_says_so(told: Any) -> None:
    """Never a file that is cut short."""
    archive, tenant, _ = told
    archive.files(tenant.tenant_id)[0].unlink()
    asked = ask(tenant, include_archived=True)
    exporting.run_exports(archive.maintenance, archive.world.opsledger.settings)
    after = tenant.get(f"/api/v1/exports/{asked['id']}").json
    assert (after["state"], after["url"]) == ("failed", None)
    assert "archive" in after["error"]


def test_a_tenant_has_few_exports_at_once(told: Any) -> None:
    """The next has to wait for one of them."""
    _, tenant, _ = told
    for _ in range(rules.OPEN_MAX):
        ask(tenant)
    problem_of(tenant.post("/api/v1/exports", json={"kind": "action"}), 409)


def test_a_key_without_payloads_exports_none(told: Any) -> None:
    """Neither by file nor by stream."""
    archive, tenant, _ = told
    secret = f"ops_test_{tenant.tenant_id.hex}"
    archive.world.give_key(tenant.tenant_id, secret, ["logs:read", "logs:export"])
    blind = Inhabitant(tenant.tenant_id, tenant.slug, secret, tenant.client)
    _, data = made(archive, blind, format="jsonl")
    for text in (gzip.decompress(data), blind.get("/api/v1/logs/actions/export.jsonl").data):
        line = json.loads(text.splitlines()[0])
        assert line["request_payload"] == {"withheld": "logs:read:payloads"}


def test_small_results_are_streamed_at_once(told: Any) -> None:
    """All that match, of both kinds, in both forms."""
    _, tenant, records = told
    path = "/api/v1/logs/actions/export.jsonl?include=archived"
    lines = [json.loads(line) for line in tenant.get(path).data.splitlines()]
    assert [line["id"] for line in lines] == [str(one.id) for one in records]
    assert len(tenant.get("/api/v1/logs/audits/export.csv").data.splitlines()) == 2
    assert tenant.get("/api/v1/logs/audits/export.csv?user_id=nobody").data.count(b"\n") == 1
    assert set(refused_fields(tenant.get("/api/v1/logs/audits/export.csv?limit=3"))) == {"limit"}


def test_what_cannot_be_exported_is_refused_by_name(archive: Archive) -> None:
    """A kind, a format, a filter of the other kind."""
    tenant = archive.settle()
    for body, field in (
        ({}, "kind"),
        ({"kind": "action", "format": "pdf"}, "format"),
        ({"kind": "action", "filters": {"user_id": "u"}}, "filters.user_id"),
        ({"kind": "audit", "filters": {"q": "x"}}, "filters.q"),
    ):
        assert set(refused_fields(tenant.post("/api/v1/exports", json=body))) == {field}
    reader = archive.world.give_key(tenant.tenant_id, "ops_test_reader_key_0", ["logs:read"])
    assert reader
    refused = archive.world.app.test_client().post(
        "/api/v1/exports", json={"kind": "action"}, headers={"X-API-Key": "ops_test_reader_key_0"}
    )
    problem_of(refused, 403)


def test_what_is_asked_for_and_what_is_taken_along_is_on_record(live: World) -> None:
    """Who asked, whose link it was, from where; parts of a download are one record and a count."""
    tenant = live.settle()
    live.put(action(tenant.tenant_id))
    asked = tenant.post("/api/v1/exports", json={"kind": "action"}).json
    exporting.run_exports(live.maintenance, live.opsledger.settings)
    link = tenant.get(f"/api/v1/exports/{asked['id']}").json["url"].partition("localhost")[2]
    for first in range(3):
        part = live.app.test_client().get(link, headers={"Range": f"bytes={first}-{first}"})
        assert part.status_code == 206
    problem_of(live.app.test_client().get(link + "0"), 400)
    live.app.extensions["opsledger-service"].readings._counted.flush()
    live.arrive()
    rows = tenant.get(f"/api/v1/logs/audits?resource_type=export&resource_id={asked['id']}").json
    records = [tenant.get(f"/api/v1/logs/audits/{row['id']}").json for row in rows[::-1]]
    assert [record["action"] for record in records] == ["create", "download", "download"]
    for record in records:
        assert record["metadata"]["outcome"] == "success"
        assert record["ip_address"] == "127.0.0.1"
    by = f"key:{tenant.secret[:17]}"
    assert records[0]["user_id"] == by
    assert [record["metadata"]["requested_by"] for record in records[1:]] == [by, by]
    assert [record["metadata"]["count"] for record in records[1:]] == [1, 2]

"""The ingest API: HTTP in, rows out, through the spool, the broker and a real worker."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.config import Settings
from app.domain.identity import created_at_of, derived_id, format_time, is_record_id, redated
from app.store.session import Database
from tests.support.host import NOWHERE
from tests.support.ingest import ACTIONS, AUDITS, EXTERNAL_ID_KEY, call, change, sent, spooled
from tests.support.ledger import rows
from tests.support.samples import metric
from tests.support.world import World, opened, problem_of, record_id


@pytest.fixture
def keyed(settings: Settings, maintenance: Database, worker: None) -> Iterator[World]:
    """An app whose platform has a secret for external ids."""
    with opened(replace(settings, external_id_key=EXTERNAL_ID_KEY), maintenance) as world:
        yield world


def test_actions_and_audits_that_were_accepted_are_in_the_log(live: World) -> None:
    """Every field comes back, and where the record came from."""
    tenant = live.settle()
    full_call = call(
        status="Failure",
        request_payload={"email": "a@example.com"},
        response_data=[1, None, "x"],
        error_message="no \t answer",
        operation_id="op-1",
        metadata={"source": "php"},
    )
    full_change = change(
        user_id="ada",
        changes={"before": {"a": 1}, "after": {"a": 2}},
        ip_address="192.0.2.7",
        user_agent="curl",
        operation_id="op-1",
        metadata={"source": "php"},
    )
    headers = {**tenant.headers, "X-Request-ID": "req-1"}
    for path, item in ((ACTIONS, full_call), (AUDITS, full_change)):
        response = tenant.client.post(path, json=[item], headers=headers)
        assert response.status_code == 202, response.json
    live.arrive()
    for kind, item in (("actions", full_call), ("audits", full_change)):
        (listed,) = tenant.get(f"/api/v1/logs/{kind}").json
        shown = tenant.get(f"/api/v1/logs/{kind}/{listed['id']}").json
        origin = {"ingest": {"request_id": "req-1", "ip_address": "127.0.0.1"}}
        expected = {
            **item,
            "metadata": {"source": "php"} | origin,
            "tenant_id": str(tenant.tenant_id),
        }
        if kind == "actions":
            expected["status"] = "failure"
        assert {name: shown[name] for name in expected} == expected


def test_ids_come_in_the_order_given(live: World) -> None:
    """Accepted, duplicate and rejected ones mixed."""
    tenant = live.settle()
    given = [str(record_id()) for _ in range(3)]
    items = [
        call(id=given[2]),
        call(status="done"),
        call(),
        call(id=given[0]),
        call(id=given[2], provider_name="another"),
        "no object",
        call(id=given[1].upper()),
        call(id=given[0]),
    ]
    answer = sent(tenant, items)
    assert (answer["accepted"], answer["duplicates"]) == (4, 2)
    assert [answer["ids"][place] for place in (0, 2, 3)] == [given[2], given[0], given[1]]
    assert [item["index"] for item in answer["rejected"]] == [1, 5]
    live.arrive()
    found = tenant.get("/api/v1/logs/actions").json
    assert {row["id"] for row in found} == set(answer["ids"])
    (first,) = [row for row in found if row["id"] == given[2]]
    assert first["provider_name"] == "hubspot"


def test_a_retry_is_harmless(keyed: World) -> None:
    """By id or by external id, in a request of its own, before and after the rows are there."""
    tenant = keyed.settle()
    moment = format_time(datetime.now(UTC) - timedelta(hours=1))
    items = [call(id=str(record_id())), call(created_at=moment, external_id="order/7")]
    first = sent(tenant, items)
    assert sent(tenant, items) == first
    keyed.arrive()
    assert sent(tenant, items) == first
    keyed.arrive()
    assert {row["id"] for row in tenant.get("/api/v1/logs/actions").json} == set(first["ids"])
    assert tenant.get("/api/v1/logs/stats").json["total_actions"] == 2


def test_an_external_id_is_the_tenants_own(keyed: World) -> None:
    """Two tenants with the same words have two records; so have the two logs of one tenant."""
    mine, theirs = keyed.settle(), keyed.settle()
    moment = datetime.now(UTC).replace(microsecond=250_000)
    words = {"created_at": format_time(moment), "external_id": "order/7"}
    ids = {
        sent(who, [make(**words)], path)["ids"][0]
        for who in (mine, theirs)
        for make, path in ((call, ACTIONS), (change, AUDITS))
    }
    assert len(ids) == 4
    derived = derived_id(
        EXTERNAL_ID_KEY.encode(),
        tenant_id=mine.tenant_id,
        kind="action",
        external_id="order/7",
        moment=moment,
    )
    assert str(derived) in ids


def test_one_id_may_be_used_by_two_tenants_and_in_both_logs(live: World) -> None:
    """Nobody can keep another's record out by taking its id first."""
    one = str(record_id())
    tenants = [live.settle() for _ in range(2)]
    for who in tenants:
        sent(who, [call(id=one)])
        sent(who, [change(id=one)], AUDITS)
    live.arrive()
    for who in tenants:
        for kind in ("actions", "audits"):
            assert who.get(f"/api/v1/logs/{kind}/{one}").json["tenant_id"] == str(who.tenant_id)
        assert who.get("/api/v1/logs/stats").json["total_actions"] == 1


def test_created_at_alone_dates_the_record(live: World) -> None:
    """To the millisecond, from any zone, a week back."""
    tenant = live.settle()
    moment = datetime.now(UTC).replace(microsecond=123_000) - timedelta(days=7)
    there = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    (made,) = sent(tenant, [call(created_at=there)])["ids"]
    assert is_record_id(UUID(made))
    assert created_at_of(UUID(made)) == moment
    live.arrive()
    shown = tenant.get(f"/api/v1/logs/actions/{made}").json
    assert shown["created_at"] == format_time(moment)


def test_secrets_are_masked_and_payloads_bounded_as_in_capture(alone: World) -> None:
    """Before they reach the disk; the record says where."""
    tenant = alone.settle()
    item = call(
        request_payload={"password": "hunter2", "nul": "a\0b"}, response_data=["x" * 70_000]
    )
    sent(tenant, [item])
    (record,) = spooled(alone)
    assert record.request_payload == {"password": "[redacted: password]", "nul": "a\ufffdb"}
    assert record.response_data["truncated"] is True
    assert set(record.metadata["cleaned"]) == {"redacted", "repaired", "truncated"}
    assert b"hunter2" not in b"".join(
        path.read_bytes() for path in alone.opsledger.settings.spool_dir.iterdir()
    )


def test_the_word_about_the_request_is_ours(alone: World) -> None:
    """A caller's metadata.http stays a caller's; metadata.ingest cannot be forged."""
    tenant = alone.settle()
    forged = {"ingest": {"ip_address": "192.0.2.1"}, "http": {"a": 1}, "mine": 2}
    sent(tenant, [call(metadata=forged)])
    (record,) = spooled(alone)
    assert record.metadata["ingest"]["ip_address"] == "127.0.0.1"
    assert (record.metadata["http"], record.metadata["mine"]) == ({"a": 1}, 2)


def test_a_full_batch_is_accepted(alone: World) -> None:
    """1,000 records of one request, all of them on disk at the answer."""
    tenant = alone.settle()
    answer = sent(tenant, [call(id=str(record_id())) for _ in range(1000)])
    assert answer["accepted"] == 1000
    assert [str(record.id) for record in spooled(alone)] == answer["ids"]


def test_a_full_spool_is_told_and_nothing_is_accepted(
    settings: Settings, maintenance: Database
) -> None:
    """503 with Retry-After if none was kept, or the index and the reason."""
    small = replace(
        settings,
        redis_url=NOWHERE["redis_url"],
        spool_bytes_max=3_000,
        spool_reserve_bytes=100_000,
    )
    before = metric("opsledger_lost_total", kind="action", reason="spool_full")
    with opened(small, maintenance) as world:
        tenant = world.settle()
        twice = str(record_id())
        large = {"request_payload": "x" * 3_000}
        answer = sent(tenant, [call(id=twice, **large), call(), call(id=twice)])
        assert answer["accepted"] == 1
        assert [item["index"] for item in answer["rejected"]] == [0, 2]
        for item in answer["rejected"]:
            assert item["errors"][0]["field"] == "record"
            assert "spool of this host is full" in item["errors"][0]["detail"]
        response = tenant.post(ACTIONS, json=[call(**large), call(status="done")])
        assert "send them again" in problem_of(response, 503)["detail"]
        assert int(response.headers["Retry-After"]) > 0
        assert sent(tenant, [change(changes={"a": "x" * 3_000})], AUDITS)["accepted"] == 1
        assert len(spooled(world)) == 2
    assert metric("opsledger_lost_total", kind="action", reason="spool_full") == before + 2


def test_ids_of_the_same_millisecond_are_different(alone: World) -> None:
    """Records that share created_at are still records of their own."""
    tenant = alone.settle()
    moment = datetime.now(UTC) - timedelta(days=1)
    answer = sent(tenant, [call(created_at=format_time(moment)) for _ in range(1000)])
    assert len(set(answer["ids"])) == 1000
    assert {redated(UUID(i), moment) for i in answer["ids"]} == {UUID(i) for i in answer["ids"]}


def test_an_old_record_is_set_aside(live: World, maintenance: Database) -> None:
    """By the real worker and the setting OPSLEDGER_HOT_DAYS: it is kept, and not in the log."""
    who = live.settle()
    now = datetime.now(UTC)
    old, recent = (format_time(now - timedelta(days=days)) for days in (4_000, 30))
    ids = {
        sent(who, [make(created_at=old), make(created_at=recent)], path)["ids"][0]
        for make, path in ((call, ACTIONS), (change, AUDITS))
    }
    live.arrive()
    assert {str(row.id) for row in rows(maintenance, "late_records", who.tenant_id)} == ids
    assert len(who.get("/api/v1/logs/actions").json) == 1
    assert who.get("/api/v1/logs/stats").json["total_actions"] == 1

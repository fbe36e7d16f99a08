"""GET /metrics: what it shows, to whom, and that it shows what it can when something is away."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import requests

from app.config import Settings
from app.dev.server import free_port
from app.pipeline.figures import serve_figures
from app.pipeline.persist import Persister
from app.pipeline.shipping import open_spool
from app.store.session import Database
from app.telemetry import METRICS, NAMES_MAX, OTHER, Names
from tests.support.line import Line
from tests.support.scrape import Scrape, scrape
from tests.support.world import (
    World,
    action,
    audit,
    eventually,
    lines_of,
    opened,
    problem_of,
    worker_database,
)

TOKEN = "a token of at least 32 characters"


def with_token(settings: Settings) -> Settings:
    return replace(settings, metrics_token=TOKEN)


def test_what_is_shown_is_in_the_catalogue(world: World) -> None:
    """By name, kind and labels; nothing of ours is shown that is not documented."""
    who = world.settle()
    who.get("/api/v1/logs/stats")
    world.put(action(who.tenant_id), audit(who.tenant_id))
    shown = scrape(world.app.test_client()).families
    ours = {name: family for name, family in shown.items() if name.startswith("opsledger_")}
    for name, family in ours.items():
        metric = METRICS.get(name) or METRICS[f"{name}_total"]
        assert family.type == metric.kind, name
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == set(metric.labels), name
    public = {metric.name for metric in METRICS.values() if not metric.of_tenants}
    assert public - {f"{name}_total" for name in ours} - ours.keys() == set()


def test_nothing_of_a_tenant_is_shown_without_the_token(
    settings: Settings, maintenance: Database
) -> None:
    """Neither its id nor a name it made up; with the token these are there."""
    with opened(with_token(settings), maintenance) as world:
        who = world.settle()
        made_up = f"provider-{uuid4().hex}"
        records = [
            action(who.tenant_id, provider_name=made_up, execution_time_ms=1500),
            action(who.tenant_id, provider_name=made_up, status="timeout", execution_time_ms=500),
            audit(who.tenant_id, resource_type=made_up),
        ]
        Persister(worker_database(settings.url_of("worker")), tenants_shown=50).persist(
            uuid4(), lines_of(*records)
        )
        client = world.app.test_client()
        body = client.get("/metrics").get_data(as_text=True)
        assert made_up not in body
        assert str(who.tenant_id) not in body
        seen = scrape(client, TOKEN)
        provider = "opsledger_provider_actions_total"
        assert seen.sum(provider, provider=made_up, status="success") == 1
        assert seen.sum(provider, provider=made_up, status="timeout") == 1
        assert seen.sum("opsledger_provider_seconds_total", provider=made_up) == 2.0
        assert seen.sum("opsledger_audit_changes_total", resource_type=made_up) == 1
        tenant = {
            outcome: seen.sum(
                "opsledger_tenant_records_total", tenant=str(who.tenant_id), outcome=outcome
            )
            for outcome in ("ok", "failed", "audit")
        }
        assert tenant == {"ok": 1, "failed": 1, "audit": 1}


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer ", "Basic eDp5", "\xe9"])
def test_a_wrong_token_is_refused(settings: Settings, maintenance: Database, given: str) -> None:
    """Rather than answered with less: who sends one believes to see all."""
    with opened(with_token(settings), maintenance) as world:
        response = world.app.test_client().get("/metrics", headers={"Authorization": given})
        problem_of(response, 401)


def test_without_a_token_set_no_token_is_right(world: World) -> None:
    """Also not an empty one."""
    for given in ("Bearer ", "Bearer x"):
        response = world.app.test_client().get("/metrics", headers={"Authorization": given})
        problem_of(response, 401)


def test_the_five_key_metrics_count_what_was_stored(world: World) -> None:
    """Once each, whatever is delivered again."""
    who = world.settle()
    before = scrape(world.app.test_client())
    made_at = datetime.now(UTC) - timedelta(seconds=100)
    records = [action(who.tenant_id, at=made_at, status=s) for s in ("success", "failure", "retry")]
    changes = [audit(who.tenant_id) for _ in range(4)]
    world.put(*records, *changes)
    world.put(*records, *changes)
    after = scrape(world.app.test_client())

    def added(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert added("opsledger_actions_total") == 3
    assert added("opsledger_actions_total", status="failure") == 1
    assert added("opsledger_audits_total") == 4
    assert added("opsledger_persisted_total", outcome="inserted") == 7
    assert added("opsledger_persisted_total", outcome="duplicates") == 7
    assert added("opsledger_batch_records_count") == 2
    assert added("opsledger_batch_records_sum") == 7
    assert added("opsledger_delay_seconds_count") == 2
    assert added("opsledger_delay_seconds_bucket", le="60.0") == 1
    assert added("opsledger_delay_seconds_bucket", le="300.0") == 2


def test_figures_of_host_and_pipeline_are_those_of_now(
    settings: Settings, maintenance: Database
) -> None:
    """The spool's bytes, dead letters, folding that waits, the age of tasks."""
    unhurried = replace(settings, flush_interval_ms=60_000)  # what waits is still there when asked
    with opened(unhurried, maintenance) as world:
        who = world.settle()
        world.put(action(uuid4()), action(who.tenant_id))
        empty = scrape(world.app.test_client())
        world.log(who.tenant_id)
        world.app.extensions["opsledger-service"].figures._read_at = float("-inf")
        seen = scrape(world.app.test_client())
        assert empty.sum("opsledger_spool_bytes") == 0 < seen.sum("opsledger_spool_bytes")
        assert seen.sum("opsledger_spool_limit_bytes") == world.opsledger.settings.spool_bytes_max
        assert seen.sum("opsledger_dead_letters") >= 1
        assert seen.sum("opsledger_fold_lag_seconds") > 0
        assert seen.sum("opsledger_broker_up") == 1
        assert seen.sum("opsledger_database_up") == 1
        assert seen.sum("opsledger_disk_free_bytes") > 0
        assert seen.sum("opsledger_partitions_ahead_seconds") > -7 * 86400


def test_shipping_is_measured(live: World) -> None:
    """From the publish to the receipt."""
    who = live.settle()
    before = scrape(live.app.test_client())
    live.log(who.tenant_id)
    live.arrive()

    def measured() -> bool:
        after = scrape(live.app.test_client())
        return all(
            after.sum(f"{name}_count") > before.sum(f"{name}_count")
            for name in (
                "opsledger_publish_seconds",
                "opsledger_confirm_seconds",
                "opsledger_shipment_records",
            )
        )

    eventually(measured)


def test_requests_are_measured_by_endpoint_never_by_what_callers_make_up(world: World) -> None:
    """A path or a method of their own would be a series each."""
    who = world.settle()
    who.get("/api/v1/logs/stats")
    who.get("/api/v1/logs/stats")
    for path in ("/made/up", "/made/up/too"):
        who.get(path)
    who.client.open("/made/up", method="BREW")
    seen = scrape(world.app.test_client())
    count = "opsledger_request_seconds_count"
    assert seen.sum(count, endpoint="statistics.get_statistics", status="200") >= 2
    assert seen.sum(count, endpoint="none", status="404") >= 2
    assert "BREW" not in seen.labels("method")


def test_keys_are_counted_by_where_they_were_found(world: World) -> None:
    """The first time in the database, then in memory."""
    who = world.settle()
    before = scrape(world.app.test_client())
    for _ in range(3):
        who.get("/api/v1/logs/stats")
    after = scrape(world.app.test_client())
    name = "opsledger_key_lookups_total"
    found = {
        outcome: after.sum(name, outcome=outcome) - before.sum(name, outcome=outcome)
        for outcome in ("database", "remembered")
    }
    assert found == {"database": 1, "remembered": 2}


def test_without_database_or_broker_the_rest_is_shown(
    settings: Settings, maintenance: Database
) -> None:
    """It is when something is away that one looks."""
    line = Line(settings.database_url)
    away = replace(settings, database_url=line.url, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    with opened(away, maintenance) as world:
        line.cut()
        seen = scrape(world.app.test_client())
        assert list(seen.values("opsledger_database_up")) == [0]
        assert list(seen.values("opsledger_broker_up")) == [0]
        assert list(seen.values("opsledger_dead_letters")) == []
        assert list(seen.values("opsledger_spool_bytes")) == [0]
        assert seen.sum("opsledger_captured_total") >= 0
    line.close()


def test_a_label_that_callers_make_up_takes_so_many_values_and_no_more() -> None:
    """What comes after is one."""
    names = Names()
    known = [names.shown(f"name-{number}") for number in range(NAMES_MAX)]
    assert known == [f"name-{number}" for number in range(NAMES_MAX)]
    assert names.shown("one more") == OTHER
    assert names.shown("name-7") == "name-7"


def test_a_worker_without_a_web_process_beside_it_shows_its_host(settings: Settings) -> None:
    """At a port of its own, without what names tenants."""
    port = free_port()
    open_spool(settings).close()
    serve_figures(replace(settings, worker_metrics_port=port))
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    seen = Scrape(answer.text)
    assert list(seen.values("opsledger_spool_limit_bytes")) == [settings.spool_bytes_max]
    assert seen.sum("opsledger_captured_total") >= 0
    assert not any(seen.values("opsledger_provider_actions_total"))

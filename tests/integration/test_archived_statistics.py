"""Statistics are the same before and after a run of the archive, at windows that cut everything."""

import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from app.store import fold
from tests.support.archive import Archive, unused_week
from tests.support.world import Inhabitant, action, audit


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units have finer ones from 40 records on, so that some have and some have not."""
    monkeypatch.setattr(fold, "DETAIL_ROWS", 40)


def ask(tenant: Inhabitant, path: str, **query: Any) -> bytes:
    """What the API says, byte for byte."""
    response = tenant.get(f"/api/v1/logs/{path}", query_string=query)
    assert response.status_code == 200, response.get_data(as_text=True)
    return bytes(response.data)


@pytest.mark.usefixtures("dense")
def test_statistics_are_the_same_before_and_after(archive: Archive) -> None:
    """Of all time, and of windows whose ends lie within a second, an hour or a day that is cold."""
    week, tenant, chance = unused_week(), archive.settle(), random.Random(11)
    records: list[Any] = []
    for index in range(160):
        day = index % 3 if index < 120 else 9 + index % 2
        at = week + timedelta(days=day, seconds=chance.randrange(9000), milliseconds=index)
        records += [
            action(
                tenant.tenant_id,
                at=at,
                status=chance.choice(("success", "failure")),
                provider_name=chance.choice(("hubspot", "zendesk")),
                execution_time_ms=chance.randrange(5000),
            ),
            audit(
                tenant.tenant_id,
                at=at,
                user_id=chance.choice((None, "u-1", "u-2")),
                resource_type=chance.choice(("contact", "deal")),
            ),
        ]
    fresh = [action(tenant.tenant_id), audit(tenant.tenant_id)]
    chance.shuffle(records)
    for start in range(0, len(records), 100):
        archive.world.put(*records[start : start + 100])
        assert archive.world.app.test_cli_runner().invoke(args=["rollups", "fold"]).exit_code == 0
    archive.world.put(*fresh)
    moments = [week + timedelta(days=day, seconds=s, milliseconds=3) for day, s in CUTS]
    pairs = [dict(zip(("since", "until"), pair, strict=True)) for pair in pairwise(moments)]
    windows: list[dict[str, Any]] = [{}, *pairs]
    questions = [
        (path, {**more, **{name: at.isoformat() for name, at in window.items()}})
        for window in windows
        for path, more in PATHS
    ]
    for bucket, days in (("minute", 1), ("hour", 12), ("day", 12)):
        span = {"since": week.isoformat(), "until": (week + timedelta(days=days)).isoformat()}
        questions.append(("analytics/timeseries", {"bucket": bucket, **span}))
    before = [ask(tenant, path, **query) for path, query in questions]
    report = archive.run()
    assert report.rows == len(records)
    for (path, query), expected in zip(questions, before, strict=True):
        assert ask(tenant, path, **query) == expected, (path, query)
    assert ask(tenant, "stats", include="archived") == before[0]
    runner = archive.world.app.test_cli_runner()
    verified = runner.invoke(args=["rollups", "verify", "--tenant", tenant.slug])
    assert verified.exit_code == 0, verified.output


CUTS = [(0, 1801), (1, 4000), (1, 4055), (9, 3333), (15, 0)]
PATHS: list[tuple[str, dict[str, Any]]] = [
    ("stats", {}),
    ("analytics/actions-by-type", {}),
    ("analytics/latency-by-provider", {}),
    ("analytics/slowest", {}),
    ("analytics/user-activity", {}),
]

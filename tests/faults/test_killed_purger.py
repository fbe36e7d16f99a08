"""A purger that is killed removed records and counts together, and the next one goes on."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.pipeline.purging import Purger, PurgeReport
from app.store.objects import LocalObjects
from tests.support.archive import Archive
from tests.support.dying import Step, nursery, purges
from tests.support.world import Inhabitant, action, audit, eventually

STEPS = [
    Step("app.pipeline.purging", "purge_stretch", "after"),
    Step("app.store.purge", "discount_users", "after"),
    Step("app.pipeline.purging", "rewrite", "after"),
    Step("app.pipeline.purging", "purge_segment", "after", 1),
    Step("app.pipeline.rewriting", "note_deleted", "before"),
]
WEEKS = iter(range(1, 80, 2))


def days_ago(days: int) -> datetime:
    """The first moment of the day so many days ago."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days)


def check(archive: Archive, who: Inhabitant) -> None:
    """Statistics are those of the records that are left, and can be read."""
    args = ["rollups", "verify", "--tenant", str(who.tenant_id)]
    said = archive.world.app.test_cli_runner().invoke(args=args)
    assert said.exit_code == 0, said.output


@pytest.fixture(scope="module")
def killed() -> Iterator[Any]:
    """Runs children that die."""
    with nursery() as run:
        yield run


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.when}-{step.name}")
def test_a_purger_killed_between_two_steps_is_right_and_the_next_one_finishes(
    archive: Archive, killed: Any, step: Step
) -> None:
    """Right then statistics equal the records; in the end just what a hold covers is left."""
    monday = days_ago(120 + days_ago(120).weekday() + 7 * next(WEEKS))
    who = archive.settle()
    held = [audit(who.tenant_id, at=at, user_id="kept") for at in (monday, days_ago(50))]
    gone = [
        maker(who.tenant_id, at=at + timedelta(hours=n), **values)
        for at in (monday, days_ago(50))
        for n in range(3)
        for maker, values in ((action, {"execution_time_ms": n}), (audit, {"user_id": f"u{n}"}))
    ]
    fresh = action(who.tenant_id)
    archive.world.put(*held, *gone, fresh)
    assert archive.run().finished
    with archive.maintenance.unrestricted_unsafe() as session:
        session.execute(text("UPDATE tenants SET settings = '{}'"))
        days = '{"action_days": 30, "audit_days": 30}'
        settings = text("UPDATE tenants SET settings = CAST(:days AS jsonb) WHERE id = :id")
        session.execute(settings, {"days": days, "id": who.tenant_id})
    hold = {"tenant_id": str(who.tenant_id), "reason": "x", "user_id": "kept"}
    archive.world.operator().post("/api/v1/admin/legal-holds", json=hold)
    assert killed(step, purges, archive.world.opsledger.settings) == signal.SIGKILL
    check(archive, who)
    reports: list[PurgeReport | None] = []

    def ran() -> bool:  # once Postgres has noticed that the child is gone
        reports.append(Purger(archive.maintenance, LocalObjects(archive.root)).run())
        return reports[-1] is not None

    eventually(ran)
    assert reports[-1] is not None
    assert reports[-1].waiting == {}
    check(archive, who)
    left = [
        row["id"]
        for kind in ("actions", "audits")
        for row in who.get(f"/api/v1/logs/{kind}?include=archived&limit=1000").json
    ]
    assert sorted(left) == sorted(str(one.id) for one in (*held, fresh))
    keys = {archive.root / row.object_key for row in archive.segments(who.tenant_id)}
    assert set(archive.files(who.tenant_id)) == keys

"""What purges and erases does so in a bucket too: objects go or are replaced, and so do copies of
what was restored from them.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.config import Settings
from app.pipeline.purging import Purger
from tests.support.archive import Archive
from tests.support.buckets import PLAIN, Seaweed
from tests.support.world import Inhabitant, action, audit

LOGS = "/api/v1/logs"
JANE = "jane.doe@example.org"


class Kept:
    """A tenant with an archived week, two days of which are restored."""

    def __init__(self, archive: Archive, settings: Settings, seaweed: Seaweed) -> None:
        self.archive, self.who = archive, archive.settle()
        self._prefix = settings.archive_url.partition(f"{PLAIN}/")[2]
        self._store = seaweed.access().client()
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.week = today - timedelta(days=140 + today.weekday())
        days = [self.week + timedelta(days=n, hours=9) for n in range(3)]
        who = self.who.tenant_id
        archive.world.put(
            *(action(who, at=at, request_payload={"to": JANE}) for at in days),
            *(audit(who, at=at, user_id=JANE) for at in days),
            *(audit(who, at=at + timedelta(hours=1), user_id="john") for at in days),
        )
        assert archive.run().finished
        until = self.week + timedelta(days=2)
        window = ["--since", f"{self.week:%Y-%m-%d}", "--until", f"{until:%Y-%m-%d}"]
        self.say("restore", "--tenant", self.who.slug, *window, "--days", "7")
        assert (archive.hot(who), archive.hot(who, "audit_logs")) == (2, 4)

    def say(self, *words: str) -> str:
        """A command, which does not fail; what it says."""
        said = self.archive.world.app.test_cli_runner().invoke(args=list(words))
        assert said.exit_code == 0, said.output
        return str(said.output)

    def objects(self) -> dict[str, bytes]:
        """What really lies in the bucket of this tenant, by key."""
        prefix = f"{self._prefix}/"
        named = {"Bucket": PLAIN, "Prefix": f"{prefix}tenant_id={self.who.tenant_id}/"}
        found = self._store.list_objects_v2(**named).get("Contents", ())
        return {
            one["Key"].removeprefix(prefix): self._store.get_object(Bucket=PLAIN, Key=one["Key"])[
                "Body"
            ].read()
            for one in found
        }

    def registered(self) -> set[str]:
        """The keys that count."""
        return {row.object_key for row in self.archive.segments(self.who.tenant_id)}


@pytest.fixture
def kept(bucket_archive: Archive, bucket_settings: Settings, seaweed: Seaweed) -> Kept:
    """See `Kept`."""
    return Kept(bucket_archive, bucket_settings, seaweed)


def listed(who: Inhabitant, kind: str) -> list[dict[str, Any]]:
    """All records of a tenant but those of now, which tell of the commands; newest first."""
    until = f"{datetime.now(UTC) - timedelta(days=9):%Y-%m-%d}T00:00:00Z"
    answer = who.get(f"{LOGS}/{kind}?limit=1000&include=archived&until={until}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json
    return found


def test_a_purge_removes_objects_and_restored_copies(kept: Kept) -> None:
    """Of the days that are past and of no other; what a hold covers has an object of its own."""
    archive, who = kept.archive, kept.who
    before = kept.objects()
    assert before.keys() == kept.registered()
    operator = archive.world.operator()
    hold = {"tenant_id": str(who.tenant_id), "reason": "test", "user_id": "john"}
    assert operator.post("/api/v1/admin/legal-holds", json=hold).status_code == 201
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = (today - kept.week).days - 2  # the third day is the first that is kept
    kept.say("retention", "set", who.slug, "--actions", str(days), "--audits", str(days))
    report = Purger(archive.maintenance, archive.objects).run()
    assert report is not None
    assert (report.hot, report.cold, report.waiting) == (0, 4, {})
    assert len(listed(who, "actions")) == 1
    assert [row["user_id"] for row in listed(who, "audits")] == ["john", JANE, "john", "john"]
    assert (archive.hot(who.tenant_id), archive.hot(who.tenant_id, "audit_logs")) == (0, 0)
    after = kept.objects()
    assert after.keys() == kept.registered()
    assert len(before.keys() & after.keys()) == 2  # of the third day
    kept.say("rollups", "verify", "--tenant", str(who.tenant_id))
    again = Purger(archive.maintenance, archive.objects).run()
    assert again is not None
    assert (again.hot, again.cold) == (0, 0)


def test_an_erasure_replaces_objects_and_lets_go_of_restored_copies(kept: Kept) -> None:
    """Nothing in the bucket or in Postgres names the person; every event is still there."""
    archive, who = kept.archive, kept.who
    before = kept.objects()
    facts = [(row["id"], row["created_at"]) for row in listed(who, "audits")]
    kept.say("erase", "--tenant", who.slug, "--subject", f"email={JANE}", "--yes")
    assert [(row["id"], row["created_at"]) for row in listed(who, "audits")] == facts
    assert [row["user_id"] for row in listed(who, "audits")] == ["john", "[erased]"] * 3
    for row in listed(who, "actions"):
        full = who.get(f"{LOGS}/actions/{row['id']}?include=archived").json
        assert full["request_payload"] == {"to": "[erased]"}
    restored = "SELECT count(*) FROM archives WHERE tenant_id = :id AND restored_until IS NOT NULL"
    assert archive.ask(restored, id=who.tenant_id)[0][0] == archive.hot(who.tenant_id) == 0
    after = kept.objects()
    assert after.keys() == kept.registered()
    assert not before.keys() & after.keys()
    assert all(JANE.encode() not in body for body in after.values())
    kept.say("rollups", "verify", "--tenant", str(who.tenant_id))

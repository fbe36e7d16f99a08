"""The steps of a scan that few records seldom lead to, each taken by itself."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.filters import Page
from app.domain.records import ActionRecord, Kind
from app.store import scan
from app.store.rollup_map import Window
from app.store.scan import Scan, Wanted
from app.store.session import Database
from tests.support.world import World, action

GMAIL = (2, 17, 28, 34, 37)
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=20)


def records(world: World) -> list[ActionRecord]:
    """Forty records a second apart, few of them of gmail, more and more apart from the end."""
    who = world.settle().tenant_id
    made = [
        action(
            who,
            at=START + timedelta(seconds=number),
            provider_name="gmail" if number in GMAIL else "hubspot",
        )
        for number in range(40)
    ]
    world.put(*made)
    return made


@pytest.mark.parametrize("page", [Page(1), Page(5), Page(50), Page(2, skip=2), Page(9, skip=4)])
@pytest.mark.parametrize("claimed", [1, 5, 40])
def test_a_wide_window_is_read_to_its_end_if_its_matches_are_few(
    world: World, monkeypatch: pytest.MonkeyPatch, page: Page, claimed: int
) -> None:
    """However many matches the map has promised, and wherever a stretch of the reading ends."""
    monkeypatch.setattr(scan, "GLANCE_ROWS", 1)
    monkeypatch.setattr(scan, "WIDE_ROWS", 2)
    made = records(world)
    tenant_id = made[0].tenant_id
    window = Window(made[0].created_at, made[-1].created_at, claimed, len(made))
    wanted = Wanted(
        kind=Kind.ACTION,
        tenant_id=tenant_id,
        shown="l.id::text",
        conditions=["l.provider_name = %(provider_name)s"],
        values={"provider_name": "gmail"},
        since=None,
        until=None,
        page=page,
    )
    database: Database = world.app.extensions["opsledger-service"].database
    with database.tenant(tenant_id) as session:
        found = Scan(session, wanted, datetime.now(UTC)).in_windows(lambda: [window])
    expected = [str(made[number].id) for number in reversed(GMAIL)]
    assert [row[0] for row in found] == expected[page.skip : page.skip + page.limit]

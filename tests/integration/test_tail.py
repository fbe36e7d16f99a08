"""order=commit: a tail that misses nothing and repeats nothing, whatever order commits come in."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from app.domain.records import Kind
from app.store import tail
from app.store.session import Database
from tests.support.tails import MAKERS, NOW, PATHS, TABLES, Reader, ids, made
from tests.support.world import Inhabitant, World, action, next_page, problem_of, refused_fields

kinds = pytest.mark.parametrize("kind", list(Kind))


@kinds
@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_a_tail_is_in_commit_order_and_by_time_within_a_batch(
    world: World, kind: Kind, limit: int
) -> None:
    """What came first is first, however old what came later is; the other kind is not there."""
    who = world.settle()
    batches = [
        made(who, kind, 5),
        made(who, kind, 4, NOW - timedelta(days=20)),
        made(who, kind, 1, NOW - timedelta(hours=1)),
        made(who, kind, 7, NOW - timedelta(days=3)),
    ]
    other = Kind.AUDIT if kind is Kind.ACTION else Kind.ACTION
    for batch in batches:
        world.put(*reversed(batch))
        world.put(*made(who, other, 2))
    expected = [each for batch in batches for each in ids(*batch)]
    assert Reader(who, kind, f"&limit={limit}").catch_up() == expected


@kinds
def test_polling_sees_each_record_once_as_it_arrives(world: World, kind: Kind) -> None:
    """From an empty log on, with nothing new in between, and when the page is just full."""
    who = world.settle()
    reader = Reader(who, kind, "&limit=4")
    assert reader.poll() == []
    assert reader.ended
    expected: list[str] = []
    for count in (1, 0, 4, 8, 0, 3):
        records = made(who, kind, count, NOW - timedelta(days=count))
        if records:
            world.put(*records)
        expected += ids(*records)
        assert reader.catch_up() == expected


@pytest.mark.parametrize("batches_max", [1, 2, 3, 6, 7])
def test_a_page_passes_so_many_batches_and_the_next_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, batches_max: int
) -> None:
    """Its end is not the tail's."""
    monkeypatch.setattr(tail, "BATCHES_MAX", batches_max)
    who = world.settle()
    batches = [made(who, Kind.ACTION, 2) for _ in range(6)]
    for batch in batches:
        world.put(*batch)
    expected = [each for batch in batches for each in ids(*batch)]
    for limit in (1, 2, 3, 5, 100):
        assert Reader(who, Kind.ACTION, f"&limit={limit}").catch_up() == expected
    assert Reader(who, Kind.ACTION, "&q=nothing").catch_up() == []


def test_a_page_tells_whether_more_is_there(world: World) -> None:
    """X-Tail-End says when to wait and when to go on at once."""
    who = world.settle()
    world.put(*made(who, Kind.ACTION, 5))
    reader = Reader(who, Kind.ACTION, "&limit=3")
    assert (len(reader.poll()), reader.ended) == (3, False)
    assert (len(reader.poll()), reader.ended) == (2, True)
    assert (len(reader.poll()), reader.ended) == (0, True)


@kinds
def test_filters_leave_out_records_and_the_cursor_passes_them(
    world: World, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a page nothing may be left, and still the next goes on further ahead."""
    monkeypatch.setattr(tail, "ROWS_MAX", 10)
    who = world.settle()
    wanted = made(who, kind, 2)
    marked = [MAKERS[kind](who.tenant_id, operation_id="wanted") for _ in range(3)]
    for number in range(8):
        world.put(*made(who, kind, 10))
        if number == 5:
            world.put(*wanted, *marked)
    reader = Reader(who, kind, "&operation_id=wanted&limit=2")
    pages = []
    while not reader.ended:
        pages.append(len(reader.poll()))
    assert sorted(reader.seen) == sorted(ids(*marked))
    assert pages[:5] == [0, 0, 0, 0, 0]
    assert len(pages) >= 8


def test_every_filter_works_on_a_tail(world: World) -> None:
    """Those of columns, of content, and the window."""
    who = world.settle()
    values = {"payload": "request_payload", "response": "response_data", "metadata": "metadata"}
    wanted = action(
        who.tenant_id,
        at=NOW,
        provider_name="zendesk",
        status="failure",
        error_message="the Quota is spent",
        execution_time_ms=900,
        **{name: {"contact": {"email": "jane@example.com"}} for name in values.values()},
    )
    world.put(*made(who, Kind.ACTION, 3, NOW + timedelta(seconds=1)), wanted)
    for query in (
        *("provider_name=zendesk", "status=failure", "min_execution_time_ms=900", "q=quota"),
        *(f"{name}.contact.email=jane@example.com" for name in values),
        f"until={(NOW + timedelta(seconds=1)).strftime('%Y-%m-%dT%H:%M:%SZ')}",
    ):
        assert Reader(who, Kind.ACTION, f"&{query}").catch_up() == ids(wanted), query


@kinds
def test_since_starts_a_tail_there_and_goes_for_late_records_too(world: World, kind: Kind) -> None:
    """It is the filter of lists: by created_at, inclusive."""
    who = world.settle()
    since = NOW - timedelta(hours=1)
    world.put(*made(who, kind, 3, since - timedelta(days=1)))
    across = made(who, kind, 4, since - timedelta(seconds=2))
    world.put(*across)
    reader = Reader(who, kind, f"&limit=3&since={since.strftime('%Y-%m-%dT%H:%M:%SZ')}")
    assert [row["id"] for row in reader.poll()] == ids(*across[2:])
    late = made(who, kind, 1, since - timedelta(days=2))
    world.put(*late)
    fresh = made(who, kind, 2)
    world.put(*fresh)
    assert reader.catch_up() == ids(*across[2:], *fresh)


@kinds
def test_a_tails_cursor_is_bound_to_its_list(world: World, kind: Kind) -> None:
    """To its filters, its order, its kind and its tenant."""
    who, other = world.settle(), world.settle()
    for each in (who, other):
        world.put(*made(each, kind, 3))
    link = next_page(who.get(f"{PATHS[kind]}?order=commit&limit=2"))
    listed = next_page(who.get(f"{PATHS[kind]}?limit=2"))
    assert link
    assert listed
    cursor, of_list = (parse_qs(urlsplit(each).query)["after"][0] for each in (link, listed))
    another = PATHS[Kind.AUDIT if kind is Kind.ACTION else Kind.ACTION]
    for path in (
        f"{PATHS[kind]}?order=commit&operation_id=x&after={cursor}",
        f"{PATHS[kind]}?after={cursor}",
        f"{PATHS[kind]}?order=created&after={cursor}",
        f"{PATHS[kind]}?order=commit&after={of_list}",
        f"{another}?order=commit&after={cursor}",
        f"{PATHS[kind]}?order=commit&after=AAAA",
    ):
        assert "Link header" in refused_fields(who.get(path))["after"]
    assert "other filters" in refused_fields(other.get(link))["after"]
    assert len(who.get(f"{link}&limit=1").json if "limit" not in link else who.get(link).json) == 1


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("order=commit&skip=1", "skip", "order=commit"),
        ("order=commit&skip=10001", "skip", "0 to 10000"),
        ("order=newest", "order", "created, commit"),
        ("order=", "order", "created, commit"),
        ("order=commit&order=commit", "order", "only once"),
    ],
)
@kinds
def test_what_a_tail_cannot_do_is_refused_by_name(
    world: World, kind: Kind, query: str, field: str, said: str
) -> None:
    """An offset has no meaning in a log that grows at the end one reads towards."""
    assert said in refused_fields(world.settle().get(f"{PATHS[kind]}?{query}"))[field]


@pytest.fixture
def owner(environment: dict[str, str]) -> Iterator[Database]:
    """The shared database as the owner of the tables, who can do what the archive will do."""
    database = Database(create_engine(environment["OWNER_DATABASE_URL"]))
    yield database
    database.close()


def drop_week(owner: Database, kind: Kind, moment: datetime) -> None:
    """Take the week of a moment out of a log, as archiving does at its end."""
    year, week, _ = moment.isocalendar()
    leaf = f"{TABLES[kind]}_{year}w{week:02d}"
    with owner.unrestricted_unsafe() as session:
        session.execute(text(f"ALTER TABLE {TABLES[kind]} DETACH PARTITION {leaf}"))
        session.execute(text(f"DROP TABLE {leaf}"))


def told_and_led_on(who: Inhabitant, path: str) -> str:
    """A 410 that says from where to go on; returns the way."""
    response = who.get(path)
    problem = problem_of(response, 410)
    assert problem["type"] == "urn:opsledger:problem:cursor-too-old"
    link = next_page(response)
    assert link
    assert parse_qs(urlsplit(link).query)["after"][0] in problem["detail"]
    return link


@kinds
def test_a_cursor_before_what_is_hot_is_gone_and_led_past_the_gap(
    world: World, owner: Database, kind: Kind
) -> None:
    """Once told, the reader gets all that is left, also of a batch that is there in part."""
    who = world.settle()
    old = datetime(2019, 3, 6, tzinfo=UTC) + timedelta(weeks=list(Kind).index(kind))
    reader = Reader(who, kind)
    assert reader.poll() == []
    gone, rest = made(who, kind, 3, old), made(who, kind, 3)
    world.put(*gone)
    world.put(*made(who, kind, 2, old), *rest)
    more = made(who, kind, 2)
    world.put(*more)
    drop_week(owner, kind, old)

    reader.at = told_and_led_on(who, reader.at)
    assert reader.catch_up() == ids(*rest, *more)
    assert Reader(who, kind).catch_up() == ids(*rest, *more)  # a new reader starts at what is hot


@kinds
def test_a_gap_further_on_is_told_when_the_reader_comes_there(
    world: World, owner: Database, kind: Kind
) -> None:
    """What lies before it is shown first, and who is past it is not bothered."""
    who = world.settle()
    old = datetime(2019, 6, 5, tzinfo=UTC) + timedelta(weeks=list(Kind).index(kind))
    first, last = made(who, kind, 3), made(who, kind, 3)
    world.put(*first)
    world.put(*made(who, kind, 3, old))
    past = Reader(who, kind)
    past.catch_up()
    world.put(*last)
    drop_week(owner, kind, old)

    reader = Reader(who, kind)
    assert [row["id"] for row in reader.poll()] == ids(*first)
    assert not reader.ended
    reader.at = told_and_led_on(who, reader.at)
    assert reader.catch_up() == ids(*first, *last)
    assert [row["id"] for row in past.poll()] == ids(*last)


@kinds
def test_rows_that_go_while_a_batch_is_read_are_told_of_too(
    world: World, owner: Database, kind: Kind
) -> None:
    """A batch may reach over two weeks, and its reader stand in the first."""
    who = world.settle()
    old = datetime(2018, 3, 7, tzinfo=UTC) + timedelta(weeks=list(Kind).index(kind))
    gone, rest = made(who, kind, 4, old), made(who, kind, 3)
    world.put(*gone, *rest)
    within, behind = Reader(who, kind, "&limit=2"), Reader(who, kind, "&limit=5")
    within.poll()
    behind.poll()
    drop_week(owner, kind, old)
    within.at = told_and_led_on(who, within.at)
    assert within.catch_up() == ids(*gone[:2], *rest)
    assert behind.catch_up() == ids(*gone, *rest)


@kinds
def test_a_gap_outside_of_the_window_is_none(world: World, owner: Database, kind: Kind) -> None:
    """Who did not ask for that time misses nothing."""
    who = world.settle()
    old = datetime(2019, 9, 4, tzinfo=UTC) + timedelta(weeks=list(Kind).index(kind))
    reader = Reader(who, kind, "&since=2020-01-01T00:00:00Z")
    reader.poll()
    world.put(*made(who, kind, 3, old))
    fresh = made(who, kind, 3)
    world.put(*fresh)
    drop_week(owner, kind, old)
    assert reader.catch_up() == ids(*fresh)


@kinds
def test_a_cursor_whose_batch_was_removed_is_led_to_the_oldest_left(
    world: World, owner: Database, kind: Kind
) -> None:
    """Batches go with what they held; then nobody can tell what was between."""
    who = world.settle()
    batches = [made(who, kind, 2) for _ in range(4)]
    world.put(*batches[0])
    reader = Reader(who, kind)
    assert reader.catch_up() == ids(*batches[0])
    for batch in batches[1:]:
        world.put(*batch)
    with owner.unrestricted_unsafe() as session:
        removed = text(
            "DELETE FROM log_batches WHERE tenant_id = :tenant AND seq IN (SELECT seq"
            " FROM log_batches WHERE tenant_id = :tenant ORDER BY seq LIMIT 2)"
        )
        session.execute(removed, {"tenant": who.tenant_id})
    reader.at = told_and_led_on(who, reader.at)
    assert reader.catch_up() == ids(*batches[0], *batches[2], *batches[3])


@kinds
def test_a_reader_at_the_end_stays_there_when_all_rows_have_left(
    world: World, owner: Database, kind: Kind
) -> None:
    """It has seen them; a new reader starts at the end, and both see what comes."""
    who = world.settle()
    old = datetime(2019, 12, 4, tzinfo=UTC) + timedelta(weeks=list(Kind).index(kind))
    records = made(who, kind, 3, old)
    world.put(*records)
    reader = Reader(who, kind)
    reader.catch_up()
    drop_week(owner, kind, old)
    assert reader.catch_up() == ids(*records)
    late = Reader(who, kind)
    assert late.catch_up() == []
    fresh = made(who, kind, 2)
    world.put(*fresh)
    assert reader.catch_up() == ids(*records, *fresh)
    assert late.catch_up() == ids(*fresh)


def test_a_forged_cursor_reads_no_other_tenants_batch(world: World) -> None:
    """A batch of another is one that is not there."""
    from app.domain.filters import ActionFilter
    from app.domain.tail import Position, encode_position

    mine, theirs = world.settle(), world.settle()
    for each in (mine, theirs):
        world.put(*made(each, Kind.ACTION, 2))
    with world.maintenance.unrestricted_unsafe() as session:
        found = text("SELECT id FROM log_batches WHERE tenant_id = :tenant")
        foreign = session.execute(found, {"tenant": theirs.tenant_id}).scalar_one()
    for batch_id in (foreign, uuid4()):
        scope = f"actions {mine.tenant_id} commit"
        cursor = encode_position(Position(batch_id), ActionFilter(), scope)
        path = f"{PATHS[Kind.ACTION]}?order=commit&after={cursor}"
        if batch_id == foreign:
            link = told_and_led_on(mine, path)
            assert len(mine.get(link).json) == 2
            assert str(theirs.tenant_id) not in mine.get(link).get_data(as_text=True)
        else:
            assert "not a cursor" in refused_fields(mine.get(path))["after"]

"""Whatever JSON a record holds: a path finds its scalars, and q their text, as Python would."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.filters import ActionFilter, AuditFilter, Page
from app.domain.paths import PathFilter
from app.store.action_logs import ActionLogRepository
from app.store.audit_logs import AuditLogRepository
from app.store.session import Database
from tests.support.strategies import json_of
from tests.support.world import World, action, audit

# Letters whose case all locales fold alike, and all that means something in LIKE, JSON or jsonpath.
words = st.text(st.sampled_from("abAB01 %_\\\"'${}*.:\n\t/ü日"), max_size=6)
scalars = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | words
payloads = json_of(scalars, words.filter(bool))


def scalars_of(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string, number and boolean inside, with its keys and its text."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from scalars_of(item, (*keys, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from scalars_of(item, (*keys, str(place)))
    elif value is not None:
        yield keys, value if isinstance(value, str) else json.dumps(value)


@pytest.fixture
def web(environment: dict[str, str]) -> Iterator[Database]:
    """The shared database as the web role."""
    database = Database.connect(environment["DATABASE_URL"])
    yield database
    database.close()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(payload_list=st.lists(payloads, min_size=1, max_size=8), word=words.filter(bool))
def test_search_agrees_with_a_walk_through_the_records(
    world: World, web: Database, payload_list: list[Any], word: str
) -> None:
    """Of one tenant's few records; every scalar's path, and q with a word and with their texts."""
    tenant = world.settle().tenant_id
    held = {action(tenant).id: payload for payload in payload_list}
    world.put(*(action(tenant, id=i, request_payload=payload) for i, payload in held.items()))
    world.put(*(audit(tenant, id=i, changes={"after": payload}) for i, payload in held.items()))
    found_in = {i: list(scalars_of(payload)) for i, payload in held.items()}
    texts = sorted({text for found in found_in.values() for _, text in found if text})
    with web.tenant(tenant) as session:
        actions, audits = (
            ActionLogRepository(session, tenant),
            AuditLogRepository(session, tenant),
        )
        for wanted in (word, *texts[:5]):
            rows, _ = actions.search_by_content(ActionFilter(q=wanted), Page(100), seconds=9)
            assert {row.id for row in rows} == {
                i for i, found in found_in.items() if any(says(text, wanted) for _, text in found)
            }
        for keys, text in (place for found in found_in.values() for place in found[:4]):
            by_path = ActionFilter(paths=(PathFilter("payload", keys, text),))
            rows, _ = actions.search_by_content(by_path, Page(100), seconds=9)
            # At least these: Postgres reads a key such as 01 as a place in an array, too.
            assert {row.id for row in rows} >= {
                i for i, found in found_in.items() if (keys, text) in found
            }
            by_change = AuditFilter(paths=(PathFilter("changes", ("after", *keys), text),))
            entries, _ = audits.search_by_content(by_change, Page(100), seconds=9)
            assert {entry.id for entry in entries} == {row.id for row in rows}


def says(text: str, wanted: str) -> bool:
    """Whether a scalar's text is found by q; a boolean's is not searched."""
    return text not in ("true", "false") and wanted.lower() in text.lower()

"""One tenant never sees another: by no route, id, filter or cursor."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from werkzeug.routing import Rule

from app.api import BASE
from app.config import load_settings
from app.domain.access import Scope
from app.store.session import Database
from tests.support.household import Household, furnish
from tests.support.world import next_page, opened, problem_of, refused_fields

# What shows none of a tenant's own words, but how many records there are.
COUNTING = {"/logs/analytics/actions-by-type", "/logs/analytics/timeseries"}
RECEIPTS = "/ingest/receipts"
FORECASTING = {"/logs/analytics/trends": "days", "/logs/analytics/anomalies": "anomalies"}
# What is sent to a path that ends so, to change what is there.
TAKEOVERS = {
    "<item:contact_id>": {"company": "taken over"},
    "<ticket_id>": {"subject": "taken over"},
    "comments": {"body": "taken over"},
    "<event_id>": {"title": "taken over"},
    "<item:document_id>": {"title": "taken over"},
    "<rule_id>": {"name": "taken over"},
    "silence": {"minutes": 5},
    "<destination_id>": {"name": "taken over"},
    "replay": {"since": "2026-01-01T00:00:00Z"},
    "retry": {},
    "drop": {},
}


@pytest.fixture(scope="module")
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    """A database of these tests alone: rules are evaluated for all tenants there are."""
    return own_environment


@pytest.fixture(scope="module")
def maintenance(own_maintenance: Database) -> Database:
    """All tenants of that database."""
    return own_maintenance


@pytest.fixture(scope="module")
def houses(
    environment: dict[str, str], maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Household, Household]]:
    """Two tenants of one app; nothing in these tests changes them."""
    data_dir = tmp_path_factory.mktemp("isolation")
    with opened(replace(load_settings(environment), data_dir=data_dir), maintenance) as world:
        yield furnish(world), furnish(world)


def served_rules(house: Household, *, admin: bool = False) -> list[Rule]:
    """Every route of the API that is for tenants, or for the operator."""
    app = house.who.client.application
    for_operator = {
        endpoint: getattr(view, "required_scope", None) is Scope.ADMIN
        for endpoint, view in app.view_functions.items()
    }
    return [
        rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(BASE) and for_operator[rule.endpoint] == admin
    ]


def test_no_route_of_the_operator_is_open_to_a_tenant(houses: tuple[Household, Household]) -> None:
    """Whatever the scopes of its key, for itself as little as for another."""
    mine, theirs = houses
    tried = 0
    for rule in served_rules(mine, admin=True):
        for house in (mine, theirs):
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                refused = mine.who.client.open(
                    path_of(rule, house.path_values),
                    method=method,
                    headers=mine.who.headers,
                    json=None if method == "GET" else {},
                )
                assert "operator" in problem_of(refused, 403)["detail"]
                tried += 1
    assert tried >= 20


def test_what_the_operator_asks_of_a_tenant_is_of_that_tenant(
    houses: tuple[Household, Household],
) -> None:
    """What names a tenant or a key shows that one."""
    mine, theirs = houses
    for rule in served_rules(mine, admin=True):
        query = mine.needed(rule.rule)
        if "GET" not in rule.methods or not (rule.arguments or query):
            continue
        answer = mine.operator.get(path_of(rule, mine.path_values), query_string=query)
        assert answer.status_code == 200, rule.rule
        assert theirs.marker not in answer.text
        assert str(theirs.who.tenant_id) not in answer.text


def path_of(rule: Rule, values: dict[str, str]) -> str:
    """A rule's path with its arguments filled in; a new argument has to be taught here."""
    missing = rule.arguments - values.keys()
    assert not missing, f"teach this test what {missing} of {rule.rule} names"
    path = rule.rule
    for name in rule.arguments:
        for form in (f"<{kind}{name}>" for kind in ("", "rest:", "item:", "path:")):
            path = path.replace(form, quote(values[name], safe=""))
    assert "<" not in path
    return path


def test_no_route_shows_what_is_named_in_another_tenants_words(
    houses: tuple[Household, Household],
) -> None:
    """Every route and method with another's ids: not found or empty, as if they did not exist."""
    tried = set()
    for mine, theirs in (houses, houses[::-1]):
        for rule in served_rules(mine):
            if not rule.arguments:
                continue
            path = path_of(rule, theirs.path_values)
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                body = TAKEOVERS.get(rule.rule.rpartition("/")[2]) if method != "GET" else None
                # A file's link is signed; tests/integration/test_exports.py has real ones.
                link = {"tenant": theirs.who.tenant_id, "expires": 10**10, "signature": "0" * 64}
                response = mine.who.client.open(
                    path,
                    method=method,
                    headers=mine.who.headers,
                    json=body,
                    query_string=link if path.endswith("/file") else None,
                )
                if response.status_code == 200:
                    assert response.json == [], f"{method} {rule.rule}"
                else:
                    problem_of(response, 404)
                tried.add((method, rule.rule))
        still = mine.who.get(f"/api/v1/crm/contacts/{mine.items['contact_id']}").json
        assert still["company"] == mine.marker
    assert len(tried) >= 17


def test_every_route_shows_a_tenant_its_own(houses: tuple[Household, Household]) -> None:
    """The same requests with its own ids find something, so that the test above says something."""
    mine, _ = houses
    for rule in served_rules(mine):
        if "GET" in rule.methods and not rule.rule.endswith("/file"):
            response = mine.who.get(
                path_of(rule, mine.path_values), query_string=mine.needed(rule.rule)
            )
            assert response.status_code == 200, rule.rule
            if rule.rule.removeprefix(BASE) in COUNTING:
                assert sum(one["count"] for one in response.json) > 0, rule.rule
            elif rule.rule.removeprefix(BASE) == RECEIPTS:
                assert response.json["actions"] == [str(mine.action_id)]
            elif rule.rule.removeprefix(BASE) in FORECASTING:
                assert FORECASTING[rule.rule.removeprefix(BASE)] in response.json
            else:
                assert mine.marker in response.get_data(as_text=True), rule.rule


def test_no_list_shows_a_foreign_word(houses: tuple[Household, Household]) -> None:
    """Every route without a path argument, asked plainly and with another's words."""
    mine, theirs = houses
    for rule in served_rules(mine):
        if rule.arguments or "GET" not in rule.methods:
            continue
        for asked in (mine.needed(rule.rule), theirs.needed(rule.rule)):
            response = mine.who.get(rule.rule, query_string=asked)
            assert response.status_code == 200
            assert theirs.marker not in response.get_data(as_text=True), rule.rule
            assert str(theirs.action_id) not in response.get_data(as_text=True), rule.rule
            assert str(theirs.who.tenant_id) not in response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (
            "/api/v1/logs/actions",
            {
                "provider_name": "{m}",
                "operation_id": "operation {m}",
                "q": "error {m}",
                "payload.of": "{m}",
                "response.0": "{m}",
                "metadata.of": "{m}",
            },
        ),
        (
            "/api/v1/logs/audits",
            {
                "action": "act {s}",
                "user_id": "user {m}",
                "resource_id": "resource/{m}",
                "operation_id": "operation {m}",
                "q": "{m}",
                "changes.after.of": "{m}",
            },
        ),
        ("/api/v1/crm/contacts/search", {"q": "{m}"}),
        ("/api/v1/email/messages/search", {"q": "{m}"}),
        ("/api/v1/knowledge/documents/search", {"q": "{m}"}),
    ],
)
def test_no_filter_finds_anothers_records(
    houses: tuple[Household, Household], path: str, names: dict[str, str]
) -> None:
    """Another's very values match nothing; one's own match."""
    mine, theirs = houses
    for order in ("created", "commit"):
        # The adapter's lists know no order.
        asked = {"order": order} if path.startswith("/api/v1/logs") else {}
        for name, form in names.items():
            foreign, own = (
                {**asked, name: form.format(m=house.marker, s=house.marker[:20])}
                for house in (theirs, mine)
            )
            assert mine.who.get(path, query_string=foreign).json == []
            assert mine.who.get(path, query_string=own).json != []


def test_statistics_count_ones_own_records_alone(houses: tuple[Household, Household]) -> None:
    """Neither totals nor names of another."""
    for house in houses:
        shown = house.who.get("/api/v1/logs/stats").json
        by_provider = shown["actions_by_provider"]
        for name in ("sandbox", "local"):
            by_provider.pop(name, None)  # its own calls of the adapter may have arrived, or not
        assert by_provider == {house.marker: 30}
        latency = house.who.get("/api/v1/logs/analytics/latency-by-provider").json
        assert {one["provider_name"] for one in latency} <= {*(house.marker, "sandbox", "local")}
        (by_hour,) = (
            house.who.get(
                "/api/v1/logs/analytics/timeseries",
                query_string={"provider_name": other.marker, "bucket": "day"},
            ).json
            for other in houses
            if other is not house
        )
        assert sum(point["count"] for point in by_hour) == 0


def test_no_record_is_found_by_anothers_id(houses: tuple[Household, Household]) -> None:
    """q with a record's own id is a lookup, and finds as little as any other."""
    mine, theirs = houses
    for kind in ("action", "audit"):
        path = f"/api/v1/logs/{kind}s?q="
        own, foreign = (str(getattr(house, f"{kind}_id")) for house in (mine, theirs))
        assert [row["id"] for row in mine.who.get(path + own).json] == [own]
        assert mine.who.get(path + foreign).json == []
        assert mine.who.get(f"{path}{foreign}&order=commit").json == []


def test_a_cursor_of_another_tenant_is_refused(houses: tuple[Household, Household]) -> None:
    """Although both ask for the same list."""
    mine, theirs = houses
    for kind in (
        "actions?limit=3",
        "audits?limit=3",
        "actions?limit=3&order=commit",
        "actions?q=error&limit=3",
    ):
        link = next_page(theirs.who.get(f"/api/v1/logs/{kind}"))
        assert link
        assert theirs.who.get(link).status_code == 200
        assert "other filters" in refused_fields(mine.who.get(link))["after"]


def test_a_contact_of_another_tenant_is_no_place_to_go_on_from(
    houses: tuple[Household, Household],
) -> None:
    """Paging from another's contact shows one's own contacts or none."""
    mine, theirs = houses
    response = mine.who.get(f"/api/v1/crm/contacts?after={theirs.items['contact_id']}")
    assert theirs.marker not in response.get_data(as_text=True)

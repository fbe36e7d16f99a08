"""Bad input is always a problem that names the field and what is allowed, never a 5xx."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import load_settings
from app.store.session import Database
from tests.support.world import (
    Inhabitant,
    World,
    action,
    audit,
    next_page,
    opened,
    problem_of,
    refused_fields,
)

ACTIONS = "/api/v1/logs/actions"
AUDITS = "/api/v1/logs/audits"
FAILURES = f"{ACTIONS}/failed/recent"
TRAIL = f"{AUDITS}/resource/contact/c-1"
STATS = "/api/v1/logs/stats"
OPERATION = "/api/v1/logs/operations"
CONTACTS = "/api/v1/crm/contacts"
SEARCH = f"{CONTACTS}/search"

UNSTORABLE = "must not contain NUL or lone surrogates"
RFC_3339 = "Must be an RFC 3339 time with a zone, such as 2024-01-15T10:30:00Z"
RECORD_ID = "01890a5d-ac96-774b-bcce-b302099a8057"

many_examples = settings(deadline=None, max_examples=300)


@pytest.fixture(scope="module")
def tenant(
    environment: dict[str, str], maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Inhabitant]:
    """One tenant and one app for all of this: what is refused leaves nothing behind."""
    data_dir = tmp_path_factory.mktemp("bad_input")
    with opened(replace(load_settings(environment), data_dir=data_dir), maintenance) as world:
        yield world.settle()


@pytest.mark.parametrize(
    ("path", "field", "allowed"),
    [
        (f"{ACTIONS}?limit=0", "limit", "1 to 1000"),
        (f"{ACTIONS}?limit=1001", "limit", "1 to 1000"),
        (f"{ACTIONS}?limit=-1", "limit", "1 to 1000"),
        (f"{ACTIONS}?limit=abc", "limit", "1 to 1000"),
        (f"{ACTIONS}?limit=1.5", "limit", "1 to 1000"),
        (f"{ACTIONS}?limit=1e2", "limit", "1 to 1000"),
        (f"{ACTIONS}?limit=", "limit", "1 to 1000"),
        (f"{ACTIONS}?limit=1_000", "limit", "1 to 1000"),
        (f"{ACTIONS}?limit=%205", "limit", "1 to 1000"),
        (f"{ACTIONS}?limit=%D9%A5", "limit", "1 to 1000"),  # an Arabic-Indic five
        (f"{ACTIONS}?limit={'9' * 5000}", "limit", "1 to 1000"),
        (f"{ACTIONS}?skip=-1", "skip", "0 to 10000"),
        (f"{ACTIONS}?skip=abc", "skip", "0 to 10000"),
        (f"{ACTIONS}?skip=1&after=x", "skip", "after"),
        (f"{ACTIONS}?action_type=nope", "action_type", "crm_create"),
        (f"{ACTIONS}?action_type=CRM_CREATE", "action_type", "crm_create"),
        (f"{ACTIONS}?action_type=", "action_type", "crm_create"),
        (f"{ACTIONS}?action_type=crm_create&action_type=nope", "action_type", "crm_create"),
        (f"{ACTIONS}?status=nope", "status", "pending, success, failure, timeout, retry"),
        (f"{ACTIONS}?status=", "status", "pending, success, failure, timeout, retry"),
        (f"{ACTIONS}?provider_name=", "provider_name", "1 to 100"),
        (f"{ACTIONS}?provider_name={'x' * 101}", "provider_name", "1 to 100"),
        (f"{ACTIONS}?operation_id={'x' * 256}", "operation_id", "1 to 255"),
        (f"{ACTIONS}?min_execution_time_ms=-1", "min_execution_time_ms", "0 to 2147483647"),
        (f"{ACTIONS}?min_execution_time_ms=2147483648", "min_execution_time_ms", "0 to 2147483647"),
        (f"{ACTIONS}?colour=red", "colour", "action_type, after, limit"),
        (f"{ACTIONS}?%FF=1", "%FF", "action_type, after, limit"),
        (f"{AUDITS}?limit=0", "limit", "1 to 1000"),
        (f"{AUDITS}?limit=1001", "limit", "1 to 1000"),
        (f"{AUDITS}?status=success", "status", "resource_type"),
        (f"{AUDITS}?action={'x' * 101}", "action", "1 to 100"),
        (f"{AUDITS}?resource_type={'x' * 101}", "resource_type", "1 to 100"),
        (f"{AUDITS}?resource_id={'x' * 256}", "resource_id", "1 to 255"),
        (f"{AUDITS}?user_id={'x' * 256}", "user_id", "1 to 255"),
        (f"{AUDITS}?ip_address={'x' * 46}", "ip_address", "1 to 45"),
        (f"{AUDITS}?operation_id=", "operation_id", "1 to 255"),
        (f"{TRAIL}?limit=501", "limit", "1 to 500"),
        (f"{TRAIL}?limit=0", "limit", "1 to 500"),
        (f"{TRAIL}?action=update", "action", "after, limit, skip"),
        (f"{FAILURES}?minutes=0", "minutes", "1 to 1440"),
        (f"{FAILURES}?minutes=1441", "minutes", "1 to 1440"),
        (f"{FAILURES}?limit=101", "limit", "1 to 100"),
        (f"{FAILURES}?status=failure", "status", "limit, minutes"),
        (f"{STATS}?limit=1", "limit", "since, until"),
        (f"{ACTIONS}/{RECORD_ID}?limit=1", "limit", "none is"),
        (f"{AUDITS}/{RECORD_ID}?limit=1", "limit", "none is"),
        (f"{OPERATION}/op-1?limit=1001", "limit", "1 to 1000"),
        (f"{OPERATION}/op-1?skip=1", "skip", "after, limit"),
        (f"{OPERATION}/op-1?after=x", "after", "not a cursor"),
        (f"{ACTIONS}?q=", "q", "1 to 200"),
        (f"{AUDITS}?q={'x' * 201}", "q", "1 to 200"),
        (f"{ACTIONS}?q=x&skip=1", "skip", "after"),
        (f"{AUDITS}?changes.after.a=x&skip=1", "skip", "after"),
        (f"{ACTIONS}?payload.=x", "payload.", "between single dots"),
        (f"{ACTIONS}?payload..email=x", "payload..email", "between single dots"),
        (f"{ACTIONS}?payload.email.=x", "payload.email.", "between single dots"),
        (f"{ACTIONS}?payload=x", "payload", "payload.PATH"),
        (f"{ACTIONS}?{'payload' + '.a' * 9}=x", "payload" + ".a" * 9, "at most 8 keys"),
        (f"{ACTIONS}?response.{'k' * 101}=x", f"response.{'k' * 101}", "at most 100 characters"),
        (f"{ACTIONS}?metadata.a={'x' * 1001}", "metadata.a", "at most 1000 characters"),
        (f"{ACTIONS}?metadata.a=1&metadata.a=2", "metadata.a", "only once"),
        (f"{ACTIONS}?metadata.a%00b=1", "metadata.a\ufffdb", UNSTORABLE),
        (f"{ACTIONS}?changes.a=1", "changes.a", "payload.PATH"),
        (f"{AUDITS}?payload.a=1", "payload.a", "changes.PATH"),
        (
            f"{AUDITS}?{'&'.join(f'metadata.k{n}=x' for n in range(6))}",
            "metadata.PATH",
            "at most 5 paths",
        ),
        (f"{CONTACTS}/{RECORD_ID}?limit=1", "limit", "none is"),
        (f"{CONTACTS}?limit=101", "limit", "1 to 100"),
        (f"{CONTACTS}?after={'x' * 2_001}", "after", "1 to 2000"),
        (f"{SEARCH}?q=", "q", "1 to 200"),
        (f"{SEARCH}?q={'x' * 201}", "q", "1 to 200"),
    ],
)
def test_a_bad_parameter_is_refused_by_name_with_what_is_allowed(
    tenant: Inhabitant, path: str, field: str, allowed: str
) -> None:
    """Out of range, of another type, unknown or too long: a 400 that helps."""
    assert allowed in refused_fields(tenant.get(path))[field]


@pytest.mark.parametrize("path", [ACTIONS, AUDITS, STATS])
@pytest.mark.parametrize("field", ["since", "until"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "1700000000",
        "2024-01-15",
        "2024-01-15T10:30:00",  # no zone
        "2024-01-15%2010:30:00Z",
        "2024-01-15T10:30:00+02:00",  # a + in a URL is a space
        "2024-02-30T00:00:00Z",
        "2024-01-15T24:00:00Z",
        "2024-01-15T10:30:60Z",
        "2024-01-15T10:30:00%2B24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00%2B14:00",  # before the year 1 in UTC
        "9999-12-31T23:59:59-14:00",  # past the year 9999 in UTC
        "10000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "%D9%A2%D9%A0%D9%A2%D9%A4-01-15T10:30:00Z",  # Arabic-Indic digits
        "2024-01-15T10:30:00.1234567890Z",
    ],
)
def test_a_bad_timestamp_is_refused_with_an_example(
    tenant: Inhabitant, path: str, field: str, value: str
) -> None:
    """Without a zone, impossible, or outside of the calendar."""
    said = refused_fields(tenant.get(f"{path}?{field}={value}"))[field]
    assert RFC_3339 in said
    assert "%2B" in said


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "2024-01-15t10:30:00z",
        "2024-01-15T10:30:00%2B02:00",
        "2024-01-15T10:30:00-23:59",
        "2024-01-15T10:30:00.123456789Z",
    ],
)
@pytest.mark.parametrize("field", ["since", "until"])
def test_every_moment_of_the_calendar_is_taken(tenant: Inhabitant, field: str, value: str) -> None:
    """The first and the last moment, offsets, fractions and lower case are all RFC 3339."""
    assert tenant.get(f"{ACTIONS}?{field}={value}").status_code == 200


def test_all_bad_parameters_are_named_at_once(tenant: Inhabitant) -> None:
    """One round trip tells all."""
    said = refused_fields(tenant.get(f"{ACTIONS}?limit=0&status=nope&colour=red"))
    assert set(said) == {"limit", "status", "colour"}


@pytest.mark.parametrize("path", [ACTIONS, AUDITS, STATS])
def test_a_window_that_ends_before_it_starts_is_refused(tenant: Inhabitant, path: str) -> None:
    """since after until; an empty window is no mistake."""
    window = "since=2024-01-02T00:00:00Z&until=2024-01-01T00:00:00Z"
    assert "until" in refused_fields(tenant.get(f"{path}?{window}"))["since"]
    empty = "since=2024-01-01T00:00:00Z&until=2024-01-01T00:00:00Z"
    assert tenant.get(f"{path}?{empty}").status_code == 200


@pytest.mark.parametrize("path", [ACTIONS, AUDITS, TRAIL])
def test_a_skip_past_the_bound_says_to_use_the_cursor(tenant: Inhabitant, path: str) -> None:
    """10,000 is served, 10,001 is not, and the way on is named."""
    assert tenant.get(f"{path}?skip=10000").status_code == 200
    said = refused_fields(tenant.get(f"{path}?skip=10001"))["skip"]
    assert "0 to 10000" in said
    assert "cursor (after) of the Link header" in said


@pytest.mark.parametrize(
    "path",
    [
        f"{ACTIONS}?limit=1&limit=2",
        f"{ACTIONS}?skip=0&skip=0",
        f"{ACTIONS}?since=2024-01-01T00:00:00Z&since=2024-01-01T00:00:00Z",
        f"{ACTIONS}?operation_id=a&operation_id=b",
        f"{AUDITS}?action=a&action=b",
        f"{FAILURES}?minutes=1&minutes=2",
        f"{STATS}?until=2024-01-01T00:00:00Z&until=2024-01-02T00:00:00Z",
        f"{SEARCH}?q=a&q=b",
    ],
)
def test_a_single_valued_parameter_given_twice_is_refused(tenant: Inhabitant, path: str) -> None:
    """Which of the two was meant is not for us to guess."""
    name = path.partition("?")[2].partition("=")[0]
    assert refused_fields(tenant.get(path)) == {name: "may be given only once"}


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "!!!!", "%20", "%E2%9C%93", "AAAA", "A" * 32, "A" * 33, "_" * 32),
        RECORD_ID,
        "A" * 256,
    ],
)
@pytest.mark.parametrize("path", [ACTIONS, AUDITS, TRAIL])
def test_a_damaged_cursor_is_refused(tenant: Inhabitant, path: str, cursor: str) -> None:
    """Any text that is not a cursor of ours."""
    said = refused_fields(tenant.get(f"{path}?after={cursor}"))["after"]
    assert "Link header" in said


@pytest.mark.parametrize("path", [ACTIONS, AUDITS, TRAIL])
@pytest.mark.parametrize(("cursor", "allowed"), [("", "1 to 256"), ("A" * 257, "1 to 256")])
def test_a_cursor_of_impossible_length_is_refused(
    tenant: Inhabitant, path: str, cursor: str, allowed: str
) -> None:
    """Empty or longer than any cursor."""
    assert allowed in refused_fields(tenant.get(f"{path}?after={cursor}"))["after"]


def test_a_cursor_serves_only_the_list_it_was_made_for(world: World) -> None:
    """With other filters, on another list or for another tenant it is refused."""
    tenant, other = world.settle(), world.settle()
    for owner in (tenant, other):
        world.put(*(make(owner.tenant_id) for make in (action, action, audit, audit)))
    link = next_page(tenant.get(f"{ACTIONS}?status=success&limit=1"))
    assert link
    cursor = link.partition("after=")[2]

    assert tenant.get(f"{ACTIONS}?limit=7&status=SUCCESS&after={cursor}").status_code == 200
    for reader, path in (
        (tenant, f"{ACTIONS}?after={cursor}"),
        (tenant, f"{ACTIONS}?status=failure&after={cursor}"),
        (tenant, f"{ACTIONS}?status=success&status=failure&after={cursor}"),
        (tenant, f"{ACTIONS}?status=success&until=2999-01-01T00:00:00Z&after={cursor}"),
        (tenant, f"{AUDITS}?after={cursor}"),
        (tenant, f"{TRAIL}?after={cursor}"),
        (other, f"{ACTIONS}?status=success&after={cursor}"),
    ):
        said = refused_fields(reader.get(path))["after"]
        assert "other filters" in said
        assert "Link header" in said


@pytest.mark.parametrize("path", [CONTACTS, f"{SEARCH}?q=a"])
def test_a_damaged_cursor_of_the_provider_is_refused(tenant: Inhabitant, path: str) -> None:
    """The adapter's lists name the parameter as well."""
    joint = "&" if "?" in path else "?"
    problem = problem_of(tenant.get(f"{path}{joint}after=nonsense"), 400)
    assert "after" in problem["detail"]


@pytest.mark.parametrize("kind", ["actions", "audits"])
@pytest.mark.parametrize(
    "identifier",
    [
        *("abc", "1", "%00", f"{{{RECORD_ID}}}", RECORD_ID.replace("-", ""), f"{RECORD_ID}0"),
        f"urn:uuid:{RECORD_ID}"[:36],
        "%E2%9C%93",
        "01890a5d-ac96-774b-bcce-b302099a805g",
    ],
)
def test_a_bad_uuid_in_the_path_is_refused(tenant: Inhabitant, kind: str, identifier: str) -> None:
    """A typo is a 400 that shows a UUID, not a 404 that sends one searching."""
    said = refused_fields(tenant.get(f"/api/v1/logs/{kind}/{identifier}"))
    assert said == {f"{kind[:-1]}_id": f"must be a UUID, such as {RECORD_ID}"}


@pytest.mark.parametrize("kind", ["actions", "audits"])
@pytest.mark.parametrize(
    "identifier",
    [
        RECORD_ID,
        RECORD_ID.upper(),
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",  # past the year 9999
        "550e8400-e29b-41d4-a716-446655440000",  # version 4
    ],
)
def test_a_well_formed_unknown_uuid_is_not_found(
    tenant: Inhabitant, kind: str, identifier: str
) -> None:
    """Of any version and time."""
    problem_of(tenant.get(f"/api/v1/logs/{kind}/{identifier}"), 404)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{ACTIONS}?provider_name=a%00b", "provider_name"),
        (f"{ACTIONS}?provider_name=a&provider_name=%00", "provider_name"),
        (f"{ACTIONS}?action_type=crm_create%00", "action_type"),
        (f"{ACTIONS}?status=%00", "status"),
        (f"{ACTIONS}?operation_id=%00", "operation_id"),
        (f"{ACTIONS}?limit=1%00", "limit"),
        (f"{ACTIONS}?since=%00", "since"),
        (f"{ACTIONS}?after=%00", "after"),
        (f"{ACTIONS}?co%00lour=1", "co\ufffdlour"),
        (f"{AUDITS}?user_id=%00", "user_id"),
        (f"{AUDITS}?resource_id=%00", "resource_id"),
        (f"{AUDITS}/resource/%00/c-1", "resource_type"),
        (f"{AUDITS}/resource/contact/c%00", "resource_id"),
        (f"{OPERATION}/op%00", "operation_id"),
        (f"{CONTACTS}/%00", "contact_id"),
        (f"{SEARCH}?q=%00", "q"),
    ],
)
def test_nul_in_query_and_path_is_refused(tenant: Inhabitant, path: str, field: str) -> None:
    """Postgres holds no NUL, so no record can match."""
    assert refused_fields(tenant.get(path))[field] == UNSTORABLE


@pytest.mark.parametrize(
    ("path", "field", "allowed"),
    [
        (f"{AUDITS}/resource/contact/{'x' * 256}", "resource_id", "1 to 255"),
        (f"{AUDITS}/resource/{'x' * 101}/c-1", "resource_type", "1 to 100"),
        (f"{OPERATION}/{'x' * 256}", "operation_id", "1 to 255"),
        (f"{CONTACTS}/{'x' * 256}", "contact_id", "1 to 255"),
    ],
)
def test_an_overlong_path_segment_is_refused(
    tenant: Inhabitant, path: str, field: str, allowed: str
) -> None:
    """A bound is named, as for parameters."""
    assert allowed in refused_fields(tenant.get(path))[field]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("DELETE", ACTIONS), ("POST", AUDITS), ("PUT", STATS), ("PATCH", FAILURES)),
        *(("DELETE", f"{ACTIONS}/{RECORD_ID}"), ("PUT", CONTACTS), ("DELETE", TRAIL)),
        ("POST", f"{OPERATION}/op-1"),
    ],
)
def test_another_method_is_refused_with_the_allowed_ones(
    tenant: Inhabitant, method: str, path: str
) -> None:
    """Logs are read-only, so nothing but GET reaches them."""
    response = tenant.client.open(path, method=method, headers=tenant.headers)
    problem_of(response, 405)
    assert "GET" in response.headers["Allow"]
    assert method not in response.headers["Allow"].split(", ")


@pytest.mark.parametrize(
    "path", ["/nope", "/api/v1/nope", "/api/v2/logs/actions", "/api/v1/logs", f"{ACTIONS}/"]
)
def test_an_unknown_path_is_a_problem_too(tenant: Inhabitant, path: str) -> None:
    """A 404 in the same form as every other error."""
    problem_of(tenant.get(path), 404)


QUERY_PATHS = (ACTIONS, AUDITS, FAILURES, TRAIL, STATS, CONTACTS, SEARCH)
QUERY_NAMES = (
    *("action_type", "status", "provider_name", "since", "until", "min_execution_time_ms"),
    *("operation_id", "skip", "limit", "after", "minutes", "action", "resource_type"),
    *("resource_id", "user_id", "ip_address", "q", "order", "include", "payload.a", ""),
)
TEMPTING = (
    *("0", "1", "1000", "1001", "-0", "2147483648", "1e9", "NaN", "true", "null", "crm_create"),
    *("SUCCESS", "2024-01-15T10:30:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"),
    *("\x00", "\ufffe", "\U0001f600", "%", "_", "\\", "'; --", "a" * 300, "../..", "[]", "{}"),
    RECORD_ID,
)
query_values = st.one_of(
    st.sampled_from(TEMPTING).map(str.encode),
    st.integers().map(lambda number: str(number).encode()),
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z".encode()),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(str.encode),
    st.binary(max_size=40),
)
query_names = st.one_of(
    st.sampled_from(QUERY_NAMES).map(str.encode), st.binary(min_size=1, max_size=8)
)


@many_examples
@given(
    path=st.sampled_from(QUERY_PATHS),
    query=st.lists(st.tuples(query_names, query_values), max_size=6),
)
def test_no_query_at_all_breaks_the_service(
    tenant: Inhabitant, path: str, query: list[tuple[bytes, bytes]]
) -> None:
    """Whatever is asked, the answer is a list, or a problem that names a field."""
    text = "&".join(f"{quote_from_bytes(name)}={quote_from_bytes(value)}" for name, value in query)
    response = tenant.get(f"{path}?{text}")
    if response.status_code != 200:
        problem = problem_of(response, 400)
        assert problem.get("errors") or "after" in problem["detail"]


@many_examples
@given(
    before=st.sampled_from(
        (f"{ACTIONS}/", f"{AUDITS}/", f"{AUDITS}/resource/", f"{OPERATION}/", f"{CONTACTS}/")
    ),
    rest=st.lists(query_values, min_size=1, max_size=3),
)
def test_no_path_at_all_breaks_the_service(
    tenant: Inhabitant, before: str, rest: list[bytes]
) -> None:
    """Whatever bytes stand in a path, the answer is a record, a list or a problem."""
    path = before + "/".join(quote_from_bytes(part, safe="") for part in rest)
    response = tenant.get(path)
    if response.status_code != 200:
        problem_of(response, response.status_code)
        assert response.status_code in {400, 404}

"""The adapter's CRM routes: each call to the provider makes exactly one action log."""

from dataclasses import replace
from typing import Any

import pytest

from app.config import Settings
from app.store.session import Database
from tests.support.line import Line
from tests.support.world import Inhabitant, World, eventually, opened, problem_of

CONTACTS = "/api/v1/crm/contacts"
ACTIONS = "/api/v1/logs/actions"
UNKNOWN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
CONTACT_FIELDS = [
    *(
        "id",
        "provider",
        "url",
        "email",
        "first_name",
        "last_name",
        "company",
        "phone",
        "properties",
    ),
    *("created_at", "updated_at"),
]


def logged(world: World, tenant: Inhabitant) -> list[dict[str, Any]]:
    """The tenant's action logs in full, oldest first, once they have arrived."""
    world.arrive()
    return [tenant.get(f"{ACTIONS}/{row['id']}").json for row in tenant.get(ACTIONS).json][::-1]


def new_contact(tenant: Inhabitant, **values: Any) -> dict[str, Any]:
    """A contact, as the API shows it."""
    response = tenant.post(CONTACTS, json={"email": "ann@example.com", **values})
    assert response.status_code == 201, response.json
    made: dict[str, Any] = response.json
    return made


def test_a_contact_lives_through_all_six_routes(live: World) -> None:
    """Status, body and headers of each, and for each one record of the right type."""
    tenant = live.settle()
    body = {"email": "ann@example.com", "first_name": "Ann", "properties": {"tier": "gold"}}
    made = tenant.post(CONTACTS, json=body)
    assert made.status_code == 201
    assert list(made.json) == CONTACT_FIELDS
    path = f"{CONTACTS}/{made.json['id']}"
    assert made.headers["Location"] == path

    got = tenant.get(path)
    assert (got.status_code, got.json) == (200, made.json)
    listed = tenant.get(CONTACTS)
    assert (listed.status_code, listed.json) == (200, [made.json])
    found = tenant.get(f"{CONTACTS}/search?q=ANN&limit=7")
    assert (found.status_code, found.json) == (200, [made.json])
    changed = tenant.patch(path, json={"first_name": None, "company": "New"})
    assert changed.status_code == 200
    assert (changed.json["first_name"], changed.json["company"]) == (None, "New")
    deleted = tenant.delete(path)
    assert (deleted.status_code, deleted.data) == (204, b"")

    contact_id = made.json["id"]
    records = logged(live, tenant)
    assert [(r["action_type"], r["request_payload"], r["response_data"]) for r in records] == [
        ("crm_create", body, made.json),
        ("crm_get", {"id": contact_id}, made.json),
        ("crm_list", {"limit": 50}, [made.json]),
        ("crm_search", {"q": "ANN", "limit": 7}, [made.json]),
        (
            "crm_update",
            {"id": contact_id, "first_name": None, "company": "New"},
            changed.json,
        ),
        ("crm_delete", {"id": contact_id}, None),
    ]
    for record in records:
        assert record["status"] == "success"
        assert record["provider_name"] == "sandbox"
        assert record["error_message"] is None
        assert record["execution_time_ms"] >= 0
    statuses = [record["metadata"]["http"]["status"] for record in records]
    assert statuses == [201, 200, 200, 200, 200, 204]


def test_a_record_names_the_request_it_was_made_in(live: World) -> None:
    """Id, method, route and the caller's address."""
    tenant = live.settle()
    headers = {**tenant.headers, "X-Request-ID": "walk-1", "User-Agent": "curl/8"}
    tenant.client.get(f"{CONTACTS}/{UNKNOWN_ID}", headers=headers)
    (record,) = logged(live, tenant)
    assert record["metadata"]["http"] == {
        "request_id": "walk-1",
        "method": "GET",
        "route": f"{CONTACTS}/<item:contact_id>",
        "status": 404,
        "ip_address": "127.0.0.1",
        "duration_ms": record["metadata"]["http"]["duration_ms"],
    }


def test_a_call_that_fails_is_on_record_with_its_message(live: World) -> None:
    """An unknown contact, by each route that can meet one."""
    tenant = live.settle()
    path = f"{CONTACTS}/{UNKNOWN_ID}"
    for response in (
        tenant.get(path),
        tenant.patch(path, json={"company": "x"}),
        tenant.delete(path),
        tenant.get(f"{CONTACTS}/no-such-form"),
    ):
        assert "There is no contact" in problem_of(response, 404)["detail"]
    records = logged(live, tenant)
    assert [record["action_type"] for record in records] == [
        *("crm_get", "crm_update", "crm_delete", "crm_get")
    ]
    for record, contact_id in zip(records, [UNKNOWN_ID] * 3 + ["no-such-form"], strict=True):
        assert record["status"] == "failure"
        assert record["error_message"] == f"There is no contact {contact_id}"
        message = {"code": "not_found", "message": f"There is no contact {contact_id}"}
        assert record["response_data"] == message
        assert record["request_payload"]["id"] == contact_id
    recent = tenant.get(f"{ACTIONS}/failed/recent").json
    assert {row["id"] for row in recent} == {record["id"] for record in records}


def test_a_call_that_was_never_made_is_not_on_record(live: World) -> None:
    """What is refused at the door reaches no provider."""
    tenant = live.settle()
    reader = live.settle(scopes=["logs:read"])
    refused = [
        tenant.post(CONTACTS, json={"email": "nonsense"}),
        tenant.post(CONTACTS, data=b"{", content_type="application/json"),
        tenant.patch(f"{CONTACTS}/{UNKNOWN_ID}", json={}),
        tenant.get(f"{CONTACTS}?limit=0"),
        tenant.get(f"{CONTACTS}/search"),
        tenant.get(f"{CONTACTS}/%00"),
        tenant.client.get(CONTACTS),
        reader.get(CONTACTS),
    ]
    assert {response.status_code for response in refused} == {400, 401, 403}
    new_contact(tenant)
    assert [record["action_type"] for record in logged(live, tenant)] == ["crm_create"]
    assert reader.get(ACTIONS).json == []


def test_secrets_are_kept_by_the_provider_and_masked_in_the_log(live: World) -> None:
    """At any depth, in the request and in the response, for every route that shows them."""
    tenant = live.settle()
    hidden = ("hunter2-a", "hunter2-b", "hunter2-c")
    properties = {
        "password": hidden[0],
        "nested": [{"Api-Key": hidden[1], "plain": "seen"}],
        "auth": {"accessToken": hidden[2]},
    }
    made = new_contact(tenant, properties=properties)
    path = f"{CONTACTS}/{made['id']}"
    assert made["properties"] == properties
    assert tenant.get(path).json["properties"] == properties
    assert tenant.get(CONTACTS).json[0]["properties"] == properties
    changed = tenant.patch(path, json={"properties": properties})
    assert changed.json["properties"] == properties

    records = logged(live, tenant)
    assert [record["action_type"] for record in records] == [
        *("crm_create", "crm_get", "crm_list", "crm_update")
    ]
    for record in records:
        assert not any(secret in str(record) for secret in hidden)
        assert record["metadata"]["cleaned"]["redacted"]
    kept = records[0]["request_payload"]["properties"]
    assert kept["nested"][0]["plain"] == "seen"
    assert kept["password"] == "[redacted: password]"


def test_contacts_of_another_tenant_do_not_exist(world: World) -> None:
    """404, as for any other id."""
    tenant, other = world.settle(), world.settle()
    path = f"{CONTACTS}/{new_contact(tenant)['id']}"
    for response in (
        other.get(path),
        other.patch(path, json={"company": "x"}),
        other.delete(path),
    ):
        problem_of(response, 404)
    assert other.get(CONTACTS).json == []
    assert tenant.get(path).json["company"] is None


@pytest.mark.parametrize(
    "values",
    [
        {"first_name": "", "phone": ""},
        {"first_name": "x" * 200, "last_name": "ü" * 200, "phone": "1" * 50},
        {"company": "日本 \U0001f600 \u2028 \\ ' \" % _"},
        {"properties": {"": [], "a": {"b": [None, -1, 1.5, 10**30, True]}, "ü": "\t\n"}},
    ],
)
def test_a_contact_keeps_what_it_is_given(world: World, values: dict[str, Any]) -> None:
    """Empty, longest and unusual values."""
    tenant = world.settle()
    made = new_contact(tenant, **values)
    shown = tenant.get(f"{CONTACTS}/{made['id']}").json
    assert {name: shown[name] for name in values} == values


def test_a_provider_that_is_away_is_a_503_and_a_failure_on_record(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """Its attempts too. The records wait on disk and arrive when the database is back."""
    line = Line(settings.database_url)
    away = replace(settings, database_url=line.url, key_cache_s=600.0)
    with opened(away, maintenance) as world:
        tenant = world.settle()
        new_contact(tenant)
        line.cut()
        response = tenant.get(CONTACTS)
        assert "cannot be reached" in problem_of(response, 503)["detail"]
        line.mend()
        eventually(lambda: len(tenant.get(ACTIONS).json) == 4)
        failed = tenant.get(f"{ACTIONS}?action_type=crm_list").json
        assert [record["status"] for record in failed] == ["failure", "retry", "retry"]
        assert {record["error_message"] for record in failed} == {"The sandbox cannot be reached"}
    line.close()


@pytest.mark.parametrize("path", ["contacts?after=nonsense", "contacts/search?q=a&after=nonsense"])
def test_a_bad_cursor_is_a_problem_that_names_it(world: World, path: str) -> None:
    """And not a contact that is not found."""
    answer = world.settle().get(f"/api/v1/crm/{path}")
    (error,) = problem_of(answer, 400)["errors"]
    assert error["field"] == "after"
    assert "Link header" in error["detail"]

"""A provider call becomes a record that the API shows."""

from tests.support.world import World


def test_a_crm_call_is_on_record_with_request_and_response(live: World) -> None:
    """The main job: call, record, read back."""
    tenant = live.settle()
    body = {"email": "test@example.com", "first_name": "Test", "last_name": "User"}
    made = tenant.post("/api/v1/crm/contacts", json=body)
    assert made.status_code == 201, made.json
    live.arrive()

    (listed,) = tenant.get("/api/v1/logs/actions").json
    assert list(listed) == [
        *("id", "tenant_id", "action_type", "provider_name", "status", "error_message"),
        *("execution_time_ms", "created_at"),
    ]
    assert listed["action_type"] == "crm_create"
    assert listed["provider_name"] == "sandbox"
    assert listed["status"] == "success"

    detail = tenant.get(f"/api/v1/logs/actions/{listed['id']}").json
    assert detail["request_payload"] == body
    assert detail["response_data"]["id"] == made.json["id"]
    assert detail["metadata"]["http"]["status"] == 201
    assert tenant.get("/api/v1/logs/stats").json["total_actions"] == 1

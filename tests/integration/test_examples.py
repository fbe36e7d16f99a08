"""The examples of docs/examples, run as somebody else's apps: their records come to Postgres."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.peer import Asked, reply, serving
from tests.support.world import World, eventually

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder where the package is installed, under the name that others know."""
    (tmp_path / "opsledger").symlink_to(ROOT / "app", target_is_directory=True)
    return tmp_path


def run(
    installed: Path, live: World, name: str, script: str, **environ: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The action and audit logs that an example leaves of what a script does to it."""
    tenant = live.settle()
    settings = live.opsledger.settings
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(installed), str(EXAMPLES)]),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "OPSLEDGER_DATA_DIR": str(installed / "data"),
        "TENANT": str(tenant.tenant_id),
        **environ,
    }
    lines = f"import os\nfrom {name} import create_app\n\napp = create_app(os.environ['TENANT'])\n"
    lines += f"client = app.test_client()\n{textwrap.dedent(script)}"
    done = subprocess.run(
        [sys.executable, "-c", lines],
        env=environment,
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    wanted = int(done.stdout.split()[-1])
    statement = "SELECT * FROM {} WHERE tenant_id = :tenant ORDER BY id"

    def found(table: str) -> list[dict[str, Any]]:
        with live.maintenance.unrestricted_unsafe() as session:
            rows = session.execute(text(statement.format(table)), {"tenant": tenant.tenant_id})
            return [dict(row) for row in rows.mappings()]

    eventually(lambda: len(found("action_logs")) + len(found("audit_logs")) >= wanted)
    return found("action_logs"), found("audit_logs")


def test_decorated_functions_and_tasks(installed: Path, live: World) -> None:
    """A success, a failure, a task that is run twice; who acts is known in the task too."""
    actions, _ = run(
        installed,
        live,
        "decorated",
        """
        from celery.contrib.testing.worker import start_worker
        assert client.get("/contacts/7").json["id"] == 7
        assert client.get("/contacts/0").status_code == 404
        celery = app.extensions["celery"]
        with start_worker(celery, perform_ping_check=False, pool="solo"):
            task = client.post("/mails").json["task"]
            assert celery.AsyncResult(task).get(timeout=20) == "sent to bob@example.com"
        print(4)
        """,
    )
    shown = [(one["action_type"], one["provider_name"], one["status"]) for one in actions]
    assert shown == [
        ("crm_get", "hubspot", "success"),
        ("crm_get", "hubspot", "failure"),
        ("email_send", "ses", "retry"),
        ("email_send", "ses", "success"),
    ]
    found, missing, again, sent = actions
    assert found["request_payload"] == {
        "contact_id": 7,
        "access_token": "[redacted: token]",
    }
    assert found["response_data"]["email"] == "jane@example.com"
    assert found["metadata"]["http"]["route"] == "/contacts/<int:contact_id>"
    assert missing["error_message"] == "There is no contact 0"
    assert again["operation_id"] == sent["operation_id"] is not None
    for one in (again, sent):
        assert one["request_payload"] == {"to": "bob@example.com"}
        assert one["metadata"]["actor"] == {
            "user_id": "support@example.com",
            "acting_for": "jane@example.com",
        }


def answer(asked: Asked, handler: Any) -> None:
    """HubSpot, as far as the example needs it."""
    if b"late" in asked.body:
        import time

        time.sleep(1.5)
    if b"taken" in asked.body:
        reply(handler, 409, b'{"category": "CONFLICT"}')
    else:
        reply(handler, 201, b'{"id": "12345"}')


def test_an_instrumented_session(installed: Path, live: World) -> None:
    """Success, refusal and timeout of code that knows nothing of us."""
    with serving(answer) as peer:
        actions, _ = run(
            installed,
            live,
            "instrumented",
            """
            statuses = [client.post(f"/contacts/{name}@example.com").status_code
                        for name in ("ann", "taken", "late")]
            assert statuses == [201, 502, 504], statuses
            print(3)
            """,
            HUBSPOT_URL=peer.url,
        )
    assert [one["status"] for one in actions] == ["success", "failure", "timeout"]
    assert {one["action_type"] for one in actions} == {"crm_create"}
    made, taken, late = actions
    assert made["request_payload"] == {
        "method": "POST",
        "url": f"{peer.url}/crm/v3/objects/contacts",
        "body": {"properties": {"email": "ann@example.com"}},
    }
    assert made["response_data"] == {"status": 201, "body": {"id": "12345"}}
    assert taken["response_data"]["body"] == {"category": "CONFLICT"}
    assert taken["error_message"] == "status 409"
    assert late["execution_time_ms"] >= 900
    assert "never on record" not in str(actions)


def test_audited_models(installed: Path, live: World) -> None:
    """A creation, a change, and a bulk statement that touches two rows."""
    _, audits = run(
        installed,
        live,
        "audited",
        """
        for amount in (10, 20):
            assert client.post(f"/invoices/acme/{amount}").status_code == 201
        assert client.post("/invoices/1/paid").status_code == 204
        assert client.post("/invoices/acme/forgive").status_code == 204
        print(5)
        """,
    )
    assert [(one["action"], one["resource_id"]) for one in audits] == [
        ("create", "1"),
        ("create", "2"),
        ("update", "1"),
        *[("update", "1"), ("update", "2")],
    ]
    assert {one["resource_type"] for one in audits} == {"invoices"}
    assert {one["user_id"] for one in audits} == {"ada@example.com"}
    _, _, paid, forgiven, _ = audits
    invoice = {"id": 1, "customer": "acme", "amount": 10, "paid": False}
    assert paid["changes"] == {"before": invoice, "after": {**invoice, "paid": True}}
    assert forgiven["changes"] == {
        "before": {**invoice, "paid": True},
        "after": {**invoice, "paid": True, "amount": 0},
    }
    assert forgiven["metadata"]["bulk_rows"] == 2
    assert paid["metadata"]["changed_fields"] == ["paid"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path: Path) -> None:
    """About 60 lines."""
    assert len(path.read_text().splitlines()) <= 65

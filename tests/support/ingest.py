"""What callers send to the ingest API, and what they are answered."""

from typing import Any

from tests.support.samples import recover_records
from tests.support.world import Inhabitant, World

ACTIONS, AUDITS = "/api/v1/ingest/actions", "/api/v1/ingest/audits"
EXTERNAL_ID_KEY = "a secret of at least 32 characters"


def call(**values: Any) -> dict[str, Any]:
    """An action as a caller sends it."""
    usual = {
        "action_type": "crm_create",
        "provider_name": "hubspot",
        "status": "success",
        "execution_time_ms": 12,
    }
    return {**usual, **values}


def change(**values: Any) -> dict[str, Any]:
    """An audit as a caller sends it."""
    return {"action": "update", "resource_type": "contact", "resource_id": "7", **values}


def sent(who: Inhabitant, items: Any, path: str = ACTIONS, **options: Any) -> dict[str, Any]:
    """The answer to items that are accepted or not, each by itself."""
    response = who.post(path, json=items, **options)
    assert response.status_code == 202, response.get_data(as_text=True)[:2000]
    answer: dict[str, Any] = response.json
    assert list(answer) == ["accepted", "duplicates", "ids", "rejected"]
    assert answer["accepted"] == len(answer["ids"])
    total = answer["accepted"] + answer["duplicates"] + len(answer["rejected"])
    assert total == len(items)
    return answer


def spooled(world: World) -> list[Any]:
    """The records on disk, as the next process would find them."""
    world.opsledger.shipper.stop(grace_s=0)
    return recover_records(world.opsledger.settings.spool_dir)

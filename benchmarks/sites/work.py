"""What the application does besides logging, whatever its framework."""

import json
import os
import threading
from typing import Any

import requests

PROVIDER = os.environ.get("PROVIDER_URL")
ROUNDS = 30  # of JSON, where there is no provider

_own = threading.local()


def work(body: dict[str, Any]) -> dict[str, Any]:
    """An adapter's own work: its provider is asked over HTTP; without one, a third of that."""
    return _asked(PROVIDER, body) if PROVIDER else _bare(body)


def _asked(url: str, body: dict[str, Any]) -> dict[str, Any]:
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
    answer = _own.session.post(url, json=body, timeout=30)
    answer.raise_for_status()
    return {**answer.json(), "properties": body}


def _bare(body: dict[str, Any]) -> dict[str, Any]:
    for _ in range(ROUNDS):
        body = json.loads(json.dumps(body))
    return {"id": "12345", "properties": body}

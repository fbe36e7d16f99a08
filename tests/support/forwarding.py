"""Destinations made as the API makes them, and a forwarder that runs when it is told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from app.config import Settings
from app.pipeline.forwarding import Forwarder
from app.store.session import Database
from app.vault import new_key
from tests.support.receiver import HERE
from tests.support.world import Inhabitant, World, opened

DESTINATIONS = "/api/v1/forwarding/destinations"


@contextmanager
def sending(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app that may send to this host and can keep secrets; its destinations go with it."""
    ours = replace(
        settings,
        private_destinations=HERE,
        credential_keys=new_key(),
        redaction_key="k" * 32,
        forward_dir=str(settings.data_dir / "forwarded"),
    )
    with opened(ours, maintenance) as world:
        yield world
        with maintenance.unrestricted_unsafe() as session:
            session.execute(text("DELETE FROM forward_destinations"))


def made(who: Inhabitant, sink: str, settings: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A destination, as the API answers when it is made."""
    body = {"name": f"to {sink}", "sink": sink, "settings": settings, **values}
    response = who.post(DESTINATIONS, json=body)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json
    return found


def shown(who: Inhabitant, destination: dict[str, Any]) -> dict[str, Any]:
    """How a destination stands."""
    found: dict[str, Any] = who.get(f"{DESTINATIONS}/{destination['id']}").json
    return found


def act(who: Inhabitant, destination: dict[str, Any], verb: str, **body: Any) -> Any:
    """POST to one of a destination's verbs."""
    path = f"{DESTINATIONS}/{destination['id']}/{verb}"
    return who.post(path, json=body) if body else who.post(path)


class Line:
    """A forwarder whose clock can be put forward."""

    def __init__(self, world: World) -> None:
        self.ahead = timedelta(0)
        self.forwarder = Forwarder(world.maintenance, world.opsledger.settings, self.now)

    def now(self) -> datetime:
        """The moment that it takes for now."""
        return datetime.now(UTC) + self.ahead

    def run(self, *, later_s: float = 0.0) -> int:
        """Give all that are due their turns, so many seconds later than the last time."""
        self.ahead += timedelta(seconds=later_s)
        return self.forwarder.run_due()

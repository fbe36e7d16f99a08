"""What tests of forwarding share: a database of their own, an app that may send to this host."""

from collections.abc import Iterator

import pytest

from app.config import Settings
from app.store.session import Database
from tests.support.forwarding import Line, sending
from tests.support.receiver import Receiver, receiving
from tests.support.world import World


@pytest.fixture(scope="module")
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    """A database of these tests alone: whoever forwards does so for all tenants there are."""
    return own_environment


@pytest.fixture(scope="module")
def maintenance(own_maintenance: Database) -> Database:
    """All tenants of that database."""
    return own_maintenance


@pytest.fixture
def world(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app that may send to this host, and can keep secrets."""
    with sending(settings, maintenance) as world:
        yield world


@pytest.fixture
def line(world: World) -> Line:
    """What carries that world's records on."""
    return Line(world)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server that keeps what it is sent."""
    with receiving() as receiver:
        yield receiver

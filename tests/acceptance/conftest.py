"""Fixtures of the acceptance tests: servers that a test may stop, and what a product runs in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.dev import EmbeddedBroker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker of this test alone, to be stopped, frozen and emptied."""
    with EmbeddedBroker(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def product_environment(
    make_product_environment: Callable[..., dict[str, str]],
    broker: EmbeddedBroker,
    tmp_path: Path,
) -> dict[str, str]:
    """A database of this test, migrated by the real commands, with the demo tenant."""
    name = f"opsledger_{tmp_path.name}"[:63].lower()
    return make_product_environment(name, {"REDIS_URL": broker.url}, tmp_path)

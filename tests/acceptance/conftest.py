"""Fixtures of the acceptance tests: servers that a test may stop, and the product on them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.dev import EmbeddedBroker
from tests.support.product import Product


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


@pytest.fixture
def product(product_environment: dict[str, str], tmp_path: Path) -> Iterator[Product]:
    """Web and worker on those servers."""
    with Product(product_environment, tmp_path, ("web", "worker")) as product:
        yield product

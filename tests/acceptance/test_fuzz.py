"""Requests made up from the OpenAPI document find no 5xx, no surprise and no door that is open."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzzing import fuzz, rounds
from tests.support.product import Product

SHORT = ("--phases", "fuzzing", "--max-examples", "2")  # `make fuzz` makes thousands


@pytest.fixture(scope="module")
def web(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Product, dict[str, str]]]:
    """The service in gunicorn, on the shared servers."""
    folder = tmp_path_factory.mktemp("fuzz")
    env = {**os.environ, **environment, "OPSLEDGER_DATA_DIR": str(folder / "data")}
    with Product(env, folder, ("web",)) as product:
        yield product, env


def test_made_up_requests_find_nothing_wrong(
    web: tuple[Product, dict[str, str]], tmp_path: Path
) -> None:
    """With a tenant's key, the operator's, none, and one that is unknown."""
    product, env = web
    cases = 0
    for one in rounds(env):
        result = fuzz(product, one, tmp_path, SHORT)
        assert result.passed, f"{result.name}: {result.said}"
        cases += result.cases
    assert cases >= 100, cases

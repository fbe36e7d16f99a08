"""Requests made up from the OpenAPI document find no 5xx, no surprise and no door that is open."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.fuzzing import SECRETS, fuzz, rounds
from tests.fuzzing.items import faults
from tests.support.ingest import call
from tests.support.product import Product

SHORT = ("--phases", "fuzzing", "--max-examples", "2")  # `make fuzz` makes thousands


@pytest.fixture(scope="module")
def web(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Product, dict[str, str]]]:
    """The service in gunicorn, on the shared servers."""
    folder = tmp_path_factory.mktemp("fuzz")
    env = {**os.environ, **environment, **SECRETS, "OPSLEDGER_DATA_DIR": str(folder / "data")}
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


@pytest.mark.parametrize(
    ("items", "rejected", "accepted", "words"),
    [
        ([call(), {}], [1], 1, ""),
        ([call(), {}], [0, 1], 0, ""),  # the service may refuse more than the schema says
        ([call(), {}], [], 2, "item 1 is not under rejected"),
        ([call(), {}], [0], 1, "item 1 is not under rejected"),
        ([call(x=1)], [], 1, "item 0 is not under rejected"),
        ([7], [], 1, "item 0 is not under rejected"),
        ([call(), call()], [], 1, "of 2 items 1 are accounted for"),
        ([call()], [5], 0, "were not sent"),
        ([], [], 0, "no array"),
        (call(), [], 0, "no array"),
    ],
)
def test_the_check_of_ingest_notices_what_was_let_through(
    web: tuple[Product, dict[str, str]],
    items: object,
    rejected: list[int],
    accepted: int,
    words: str,
) -> None:
    """Or the runs above would say nothing of bad items, which a 202 answers as well."""
    document = requests.get(f"http://127.0.0.1:{web[0].port}/openapi.json", timeout=30).json()
    answer = {
        "accepted": accepted,
        "duplicates": 0,
        "ids": ["id"] * accepted,
        "rejected": [{"index": index, "errors": []} for index in rejected],
    }
    found = faults(document, "/api/v1/ingest/actions", items, answer)
    assert bool(found) == bool(words), found
    assert words in "".join(found)

"""Several web processes and a worker, scraped: the sums are those of what was done."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.dev.process import wait_until
from app.dev.server import free_port
from tests.support.product import CONTACT, Product
from tests.support.scrape import Scrape

TOKEN = "a token of at least 32 characters"
CALLS = 40
PROMETHEUS = shutil.which("prometheus")
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: opsledger
    authorization: {{credentials: "{token}"}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture
def product(product_environment: dict[str, str], tmp_path: Path) -> Iterator[Product]:
    """Two web processes and a worker."""
    env = {
        **product_environment,
        "OPSLEDGER_METRICS_TOKEN": TOKEN,
        "OPSLEDGER_WEB_WORKERS": "2",
        "OPSLEDGER_METRICS_TENANTS": "10",
    }
    with Product(env, tmp_path, ("web", "worker")) as product:
        yield product


def scraped(product: Product) -> Scrape:
    answer = product.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)


def call(product: Product) -> None:
    """One call on a connection of its own, so that both web processes get some."""
    answer = requests.post(
        f"http://127.0.0.1:{product.port}/api/v1/crm/contacts",
        json=CONTACT,
        headers={"X-API-Key": "test-api-key-12345"},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text


def test_the_sums_of_two_web_processes_and_a_worker_are_right(
    product: Product, tmp_path: Path
) -> None:
    """Whichever process is asked; and still after one of them died and another took its place."""
    folder = Path(product.env["OPSLEDGER_DATA_DIR"]) / "metrics"
    for _ in range(CALLS):
        call(product)
    assert product.all_arrive(CALLS)
    captured, stored = "opsledger_captured_total", "opsledger_provider_actions_total"

    def all_counted() -> bool:
        seen = scraped(product)
        return seen.sum(captured, kind="action") == seen.sum(stored) == CALLS

    assert product.wait_for(all_counted), scraped(product).families[captured[: -len("_total")]]
    web = [path for path in folder.glob("histogram_*.db") if path.stat().st_size]
    assert len(web) >= 3  # two of the web, one of the worker
    product.programs["worker"].start()  # again: what the last one counted stays
    for _ in range(10):
        seen = scraped(product)
        assert seen.sum(captured, kind="action") == seen.sum(stored) == CALLS
    assert seen.sum("opsledger_request_seconds_count", status="201") == CALLS

    if PROMETHEUS is None:
        pytest.skip("Prometheus is not installed: the sums were read without it")
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(token=TOKEN, port=product.port))
    argv = [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    child = subprocess.Popen([*argv, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
    try:
        assert wait_until(lambda: asked(port, f'sum({captured}{{kind="action"}})') == CALLS, 30)
        assert asked(port, f"sum({stored})") == CALLS
        assert asked(port, "sum(up)") == 1
    finally:
        child.terminate()
        child.wait(20)


def asked(port: int, query: str) -> float | None:
    """What Prometheus answers; None while it does not."""
    try:
        url = f"http://127.0.0.1:{port}/api/v1/query"
        answer = requests.get(url, params={"query": query, "time": time.time()}, timeout=5)
        found = answer.json()["data"]["result"]
    except (requests.ConnectionError, KeyError, ValueError):
        return None
    return float(found[0]["value"][1]) if found else None

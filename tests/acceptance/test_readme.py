"""README, word for word: every command in it is run, in its order, and does what it says."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from playwright.sync_api import sync_playwright
from sqlalchemy import make_url

from app.dev import EmbeddedBroker, EmbeddedPostgres
from app.dev.server import free_port
from tests.support.browser import chromium_path
from tests.support.readme import blocks_of, copy_checkout, readme_blocks, run_blocks
from tests.support.servers import ROLES
from tests.walk import walk

TESTED = {"Two commands", "Try it", "In your own Flask app", "Run it for real"}
READY_S = 90.0
INSTALL_S = 240.0  # pip fetches some thirty packages


def plain_environment(**values: str) -> dict[str, str]:
    """The environment of a newcomer's shell: none of our settings."""
    ours = ("OPSLEDGER_", "DATABASE_URL", "REDIS_URL", "PORT", "COV_", "COVERAGE_", "VIRTUAL_ENV")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours) and "_URL" not in k}
    own_bin = str(Path(sys.prefix) / "bin")
    kept["PATH"] = ":".join(p for p in kept["PATH"].split(":") if p != own_bin)
    return {**kept, **values}


class Newcomer:
    """A fresh checkout in which `make run` runs on a free port."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.port = free_port()
        self.env = plain_environment(PORT=str(self.port))
        self.log = checkout / "make-run.log"
        self.make = subprocess.Popen(
            ["make", "run"],
            cwd=checkout,
            env=self.env,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while "Opsledger is ready" not in self.log.read_text():
            assert self.make.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        os.killpg(self.make.pid, signal.SIGINT)
        self.make.wait(timeout=60)

    def read(self, heading: str, timeout_s: float) -> list[str]:
        """Do what README says under a heading; returns what each block printed."""
        shop_port = str(free_port())
        blocks = [
            block.replace("localhost:8000", f"localhost:{self.port}").replace("5001", shop_port)
            for block in blocks_of(heading, "bash")
        ]
        blocks[0] += "\nsleep 1"  # a person is no faster, and a second is what is promised
        return run_blocks(blocks, cwd=self.checkout, env=self.env, timeout_s=timeout_s)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """Someone who cloned this and typed the first command."""
    checkout = copy_checkout(tmp_path_factory.mktemp("clone") / "opsledger")
    (checkout / ".venv").symlink_to(sys.prefix)
    newcomer = Newcomer(checkout)
    try:
        newcomer.wait_until_ready()
        yield newcomer
    finally:
        newcomer.stop()


def test_every_command_of_readme_is_under_a_heading_tested_here() -> None:
    """A new section with commands needs a test of its own."""
    commands = {block.heading for block in readme_blocks() if block.language != "json"}
    assert commands == TESTED
    assert blocks_of("Two commands", "bash") == ["make run\n", "make test\n"]


def test_the_ready_block_names_address_key_and_three_calls(newcomer: Newcomer) -> None:
    """What a newcomer needs next is on the screen."""
    shown = newcomer.log.read_text()
    assert f"http://localhost:{newcomer.port}/" in shown
    assert "test-api-key-12345" in shown
    assert len(re.findall(r"^\s+curl ", shown, re.MULTILINE)) == 3


def test_the_curl_walk_shows_the_call_it_made(newcomer: Newcomer) -> None:
    """Call, list, detail, filter, count, failures, audits, commands, database."""
    made, listed, detail, filtered, commands, database = newcomer.read("Try it", 120)
    contact = json.loads(made[made.index("{") :])
    assert contact["email"] == "test@example.com"
    (record,) = json.loads(_json_in(listed))
    assert (record["action_type"], record["status"]) == ("crm_create", "success")
    assert json.loads(_json_in(detail))["response_data"]["id"] == contact["id"]
    assert '"total_actions":1' in filtered
    assert "There is no contact nobody" in filtered
    assert "crm_get" in filtered
    assert "database as web: ok" in commands
    assert "ops_live_" in commands
    assert re.search(r"crm_create: success \(\d+ ms\)", database)


def test_the_browser_walk_shows_the_call_as_it_comes(newcomer: Newcomer) -> None:
    """Signed in with the key that is printed; by mouse, and by keys."""
    found = chromium_path()
    if found is None:
        pytest.skip("no Chromium here: install it (apt install chromium), or name it by CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        walk(browser.new_page(), f"http://localhost:{newcomer.port}", "test-api-key-12345")
        browser.close()


def test_the_flask_walk_puts_another_apps_calls_on_record(newcomer: Newcomer) -> None:
    """The package installs into a foreign app, whose records arrive beside the others."""
    (newcomer.checkout / "shop.py").write_text(*blocks_of("In your own Flask app", "python"))
    _, used = newcomer.read("In your own Flask app", INSTALL_S)
    assert '"provider_name":"hubspot"' in used
    assert '"status":"timeout"' in used
    assert '"after":{"plan":"pro","seats":5}' in used.replace(" ", "")
    assert '"user_id":"ada@example.com"' in used


def test_the_production_walk_starts_the_procfile_on_given_servers(tmp_path: Path) -> None:
    """Roles, migration, keys, web, worker and beat, as an operator types them."""
    checkout = copy_checkout(tmp_path / "opsledger")
    port = free_port()
    with EmbeddedPostgres(tmp_path / "pg") as postgres, EmbeddedBroker(tmp_path / "mq") as broker:
        _run_sql(postgres, blocks_of("Run it for real", "sql"))
        blocks = [
            block.replace("db.example.com", f"127.0.0.1:{postgres.port}")
            .replace("redis://broker.example.com:6379/0", broker.url)
            .replace("/var/lib/opsledger", str(tmp_path / "data"))
            .replace("localhost:8000", f"localhost:{port}")
            for block in blocks_of("Run it for real", "bash")
        ]
        # The reader's terminal stays open; ours ends, and what runs in it must end with it.
        blocks[-1] += "\nkill $(jobs -p); wait || true"
        env = plain_environment(PORT=str(port), OPSLEDGER_HOST="127.0.0.1")
        *_, setup, started = run_blocks(blocks, cwd=checkout, env=env, timeout_s=INSTALL_S)
    assert "action_logs_" in setup
    assert "ops_live_" in setup
    assert '"status":"ok"' in started


def _json_in(output: str) -> str:
    """The JSON of curl's output, which may show a progress meter on stderr."""
    return next(line for line in output.splitlines() if line.startswith(("[", "{")))


def _run_sql(postgres: EmbeddedPostgres, blocks: list[str]) -> None:
    """Run README's SQL as the administrator of a server that has no role of ours yet."""
    url = make_url(postgres.superuser_url).set(drivername="postgresql")
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE opsledger")
        for role in ROLES.values():
            cursor.execute(f"DROP ROLE {role}")
        for statement in "".join(blocks).split(";"):
            if statement.strip():
                cursor.execute(statement)
    connection.close()

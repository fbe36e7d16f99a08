"""The public Python interface: what a host application imports."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import app

ROOT = Path(__file__).parents[2]
# What runs the service, not what it imports.
OF_THE_SERVER = {"gevent", "gunicorn", "python-dotenv"}


@pytest.mark.parametrize("name", app.__all__)
def test_every_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    """From the package itself, by the name that is promised."""
    assert getattr(app, name).__doc__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        app.nothing  # noqa: B018


def test_capture_does_not_load_what_only_queries_need() -> None:
    """A host application that records pays for recording alone, in memory and in time to start."""
    looked = "import sys; from app import Opsledger, log_action, ActionLogger, AuditService;"
    looked += " print(*{'numpy', 'flask_smorest', 'alembic', 'requests', 'httpx', 'duckdb',"
    looked += " 'apprise'} & sys.modules.keys())"
    argv = [sys.executable, "-c", looked]
    assert subprocess.run(argv, cwd=ROOT, check=True, capture_output=True).stdout.strip() == b""


LOADED_LATE = {
    "app.factory": ("pyarrow", "duckdb", "hubspot", "googleapiclient", "google.oauth2", "apprise"),
    "tasks.maintenance": ("pyarrow", "duckdb", "apprise"),
}


@pytest.mark.parametrize("process", LOADED_LATE)
def test_no_process_loads_what_few_need_before_it_does(process: str) -> None:
    """What reads and writes the archive, and the clients of providers: each tens of megabytes."""
    looked = f"import sys, {process}; print(*{set(LOADED_LATE[process])} & sys.modules.keys())"
    argv = [sys.executable, "-c", looked]
    assert subprocess.run(argv, cwd=ROOT, check=True, capture_output=True).stdout.strip() == b""


def test_the_package_asks_for_all_that_the_service_runs_on() -> None:
    """Whoever installs it into an application of their own can import all of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {requirement.split(">")[0] for requirement in project["dependencies"]}
    lines = (ROOT / "requirements" / "runtime.in").read_text().splitlines()
    assert asked == {line for line in lines if line and line[0] != "#"} - OF_THE_SERVER

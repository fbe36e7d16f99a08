"""The public Python interface: what a host application imports."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import app

ROOT = Path(__file__).parents[2]
OF_THE_SERVER = {"gunicorn", "python-dotenv"}  # what runs the service, not what it imports


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
    looked += " print(*{'numpy', 'flask_smorest', 'alembic', 'duckdb', 'apprise'}"
    looked += " & sys.modules.keys())"
    argv = [sys.executable, "-c", looked]
    assert subprocess.run(argv, cwd=ROOT, check=True, capture_output=True).stdout.strip() == b""


@pytest.mark.parametrize("process", ["app.factory", "tasks.maintenance"])
def test_no_process_loads_what_reads_and_writes_the_archive_before_it_does(process: str) -> None:
    """Of many web processes and workers few do, and it is 90 MB."""
    looked = (
        f"import sys, {process}; print(*{{'pyarrow', 'duckdb', 'apprise'}} & sys.modules.keys())"
    )
    argv = [sys.executable, "-c", looked]
    assert subprocess.run(argv, cwd=ROOT, check=True, capture_output=True).stdout.strip() == b""


def test_the_package_asks_for_all_that_the_service_runs_on() -> None:
    """Whoever installs it into an application of their own can import all of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {requirement.split(">")[0] for requirement in project["dependencies"]}
    lines = (ROOT / "requirements" / "runtime.in").read_text().splitlines()
    assert asked == {line for line in lines if line and line[0] != "#"} - OF_THE_SERVER

"""What the documents say is what the code has."""

import json
import re
from pathlib import Path

import pytest

from app.config import setting_fields
from app.telemetry import METRICS
from benchmarks import report
from benchmarks.__main__ import RESULTS
from tests.checks.configuration import DOCUMENT, render
from tests.checks.links import broken_links

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_as_it_is() -> None:
    """docs/configuration.md is up to date: python -m tests.checks.configuration writes it."""
    assert DOCUMENT.read_text() == render()


def test_the_page_of_benchmarks_has_the_figures_of_the_last_run() -> None:
    """No number of its table is copied by hand: make bench writes both."""
    page = report.PAGE.read_text()
    lines = report.table(json.loads(RESULTS.read_text()))
    assert len(lines) > 5
    assert "\n".join(lines) in page


def test_every_setting_has_unit_and_reason() -> None:
    """A limit without a reason is a guess."""
    for item in setting_fields():
        assert item.metadata["unit"], item.name
        assert item.metadata["reason"].endswith("."), item.name


def test_every_setting_is_read_somewhere() -> None:
    """A setting that nothing reads is a promise that nothing keeps."""
    code = (
        "\n".join(
            path.read_text()
            for folder in ("app", "tasks")
            for path in (ROOT / folder).rglob("*.py")
        )
        + (ROOT / "celeryconfig.py").read_text()
    )
    for item in setting_fields():
        if not item.name.endswith("database_url"):  # by url_of()
            assert re.search(rf"settings(\(\))?\.{item.name}\b|self\.{item.name}\b", code), (
                item.name
            )


def test_every_variable_of_readme_and_procfile_exists() -> None:
    """No document invents a variable."""
    known = set(re.findall(r"`([A-Z][A-Z_]+)`", DOCUMENT.read_text()))
    used = (ROOT / "README.md").read_text() + (ROOT / "Procfile").read_text()
    for name in set(re.findall(r"\b(?:OPSLEDGER_[A-Z_]+|[A-Z]*_?DATABASE_URL|REDIS_URL)\b", used)):
        assert name in known, name


def test_no_link_of_a_document_is_broken() -> None:
    """Relative links lead to files and headings."""
    assert broken_links() == []


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_of_the_catalogue_is_counted_somewhere(name: str) -> None:
    """The catalogue lists what is, not what might be."""
    telemetry = (ROOT / "app" / "telemetry.py").read_text()
    (constant,) = re.findall(rf'^([A-Z_]+) = \w+\(\s*"{name}"', telemetry, re.MULTILINE)
    users = [p for p in (ROOT / "app").rglob("*.py") if p.name != "telemetry.py"]
    assert any(f"{constant}." in path.read_text() for path in users)


def test_vendored_files_name_version_licence_and_source() -> None:
    """What others wrote is kept as they licensed it."""
    vendor = ROOT / "app" / "static" / "vendor"
    listed = (vendor / "README.md").read_text()
    for folder in filter(Path.is_dir, vendor.iterdir()):
        assert re.search(rf"^\| {folder.name} \|.*\d+\.\d+\.\d+.*LICENSE", listed, re.MULTILINE)
        assert (folder / "LICENSE").is_file()

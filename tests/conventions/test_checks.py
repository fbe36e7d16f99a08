"""The checks of `make check` find what they are for."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.checks import links

ROOT = Path(__file__).parents[2]


def test_migration_lint_refuses_an_index_that_locks_a_table(tmp_path: Path) -> None:
    """CREATE INDEX without CONCURRENTLY on a table that is in use."""
    script = tmp_path / "bad.sql"
    script.write_text("CREATE INDEX action_logs_status_idx ON action_logs (status);\n")
    squawk = Path(sys.executable).with_name("squawk")
    lint = subprocess.run(
        [squawk, "--config", ROOT / ".squawk.toml", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode != 0
    assert "require-concurrent-index-creation" in lint.stdout


def test_import_law_refuses_a_planted_violation(tmp_path: Path) -> None:
    """The store importing the API breaks the layers."""
    for name in ("app", "tasks", ".importlinter"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(tmp_path)], check=True)
    (tmp_path / "app" / "store" / "planted.py").write_text("from ..api import service\n")
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode != 0
    assert "app.store.planted -> app.api.service" in lint.stdout


def test_link_check_finds_a_missing_file_and_a_missing_heading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both kinds of broken link."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# A\n[x](docs/no.md) [y](#b) [z](#a)\n")
    monkeypatch.setattr(links, "ROOT", tmp_path)
    assert links.broken_links() == ["README.md: docs/no.md", "README.md: #b"]

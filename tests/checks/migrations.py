"""Migration lint: the SQL that all migrations amount to, read by squawk."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lint_migrations() -> list[str]:
    """What squawk says of the migrations, line by line; empty if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "migrations.sql"
        flask = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade", "--sql"]
        printed = subprocess.run(
            flask,
            cwd=ROOT,
            env={**os.environ, "OPSLEDGER_DATA_DIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        if printed.returncode:
            return printed.stderr.splitlines()
        script.write_text(printed.stdout)
        squawk = Path(sys.executable).with_name("squawk")
        lint = subprocess.run(
            [squawk, "--config", ROOT / ".squawk.toml", "--reporter", "gcc", script],
            capture_output=True,
            text=True,
            check=False,
        )
        return lint.stdout.splitlines() if lint.returncode else []

"""What stands in deploy/: rules that Prometheus takes, about metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.telemetry import METRICS
from tests.checks.metrics import DOCUMENT, render

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "opsledger.json"
PROMTOOL = shutil.which("promtool")
OF_HISTOGRAMS = re.compile(r"_(bucket|count|sum)$")


def test_every_metric_is_documented_as_it_is() -> None:
    """docs/metrics.md is up to date: python -m tests.checks.metrics writes it."""
    assert DOCUMENT.read_text() == render()


@pytest.mark.parametrize("path", [RULES / "recording.yml", RULES / "alerts.yml", DASHBOARD])
def test_rules_and_dashboard_ask_for_metrics_that_exist(path: Path) -> None:
    """A renamed metric would leave an alert that never fires."""
    text = path.read_text()
    recorded = set(re.findall(r"record: (\S+)", (RULES / "recording.yml").read_text()))
    for name in set(re.findall(r"\bopsledger_[a-z_0-9]+", text)):
        assert name in METRICS or OF_HISTOGRAMS.sub("", name) in METRICS, name
    for name in set(re.findall(r"\bopsledger:[a-z_0-9:]+", text)):
        assert name in recorded, name


def test_every_alert_has_a_runbook() -> None:
    """By the heading that its annotation names."""
    headings = re.findall(r"^## (.*)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    named = re.findall(r"runbook: docs/runbooks.md#(\S+)", (RULES / "alerts.yml").read_text())
    alerts = re.findall(r"- alert: \S+", (RULES / "alerts.yml").read_text())
    assert len(named) == len(alerts) > 10
    assert anchors == set(named)


def test_every_panel_of_the_dashboard_asks_something() -> None:
    """And each has a place of its own."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert all(panel["targets"] and panel["title"] for panel in panels)
    assert len({(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}) == len(panels) > 10


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_takes_configuration_and_rules_and_these_fire_as_they_should(
    tmp_path: Path,
) -> None:
    """promtool checks them and runs the tests of alerts_test.yml."""
    folder = tmp_path / "prometheus"
    shutil.copytree(RULES, folder)
    (folder / "token").touch()
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        said = subprocess.run(
            [str(PROMTOOL), *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stdout + said.stderr

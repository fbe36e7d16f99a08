"""The scoring of the Numenta Anomaly Benchmark, by figures of its description; and the runner."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from benchmarks import nab
from benchmarks.nab.score import FALSE_WEIGHT, Labelled, best_score

ROWS, WINDOW = 1000, (600, 699)


def labelled(*detected: int) -> Labelled:
    """A file of one window with detections at some rows."""
    return Labelled([1.0 if row in detected else 0.0 for row in range(ROWS)], [WINDOW])


def test_a_perfect_detector_has_100_and_a_silent_one_nothing() -> None:
    """At the first row of the window, and nowhere."""
    assert best_score([labelled(600)])[0] == pytest.approx(100)
    assert best_score([labelled()])[0] == 0


def test_the_earlier_the_better_and_only_the_earliest_counts() -> None:
    """Half through a window it is 0.848 of 0.987, as the description has it."""
    half, _ = best_score([labelled(650)])
    assert half == pytest.approx(50 * (1 + 0.84828 / 0.98661), abs=0.5)
    assert best_score([labelled(650, 660, 690)])[0] == half
    assert best_score([labelled(698)])[0] < half


def test_false_alarms_cost_the_more_the_farther_they_are() -> None:
    """Just behind the window little, far away their full weight; within probation nothing."""
    perfect, cost = 100.0, 50 * FALSE_WEIGHT
    assert best_score([labelled(600, 400)])[0] == pytest.approx(perfect - cost)
    assert best_score([labelled(600, 999)])[0] == pytest.approx(perfect - cost, abs=0.01)
    assert perfect - cost / 2 < best_score([labelled(600, 705)])[0] < perfect
    assert best_score([labelled(600, 20)])[0] == pytest.approx(perfect)


def test_one_threshold_serves_all_files() -> None:
    """The false alarm of the second file is worth it; at a threshold above it nothing is found."""
    quiet = Labelled([0.5 if row == 600 else 0.0 for row in range(ROWS)], [WINDOW])
    loud = Labelled([0.7 if row == 300 else 0.0 for row in range(ROWS)], [])
    score, threshold = best_score([quiet, loud])
    assert threshold == 0.5
    assert score == pytest.approx(100 - 50 * FALSE_WEIGHT)


def test_the_runner_reads_a_copy_of_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the benchmark's form, with a step where its label is."""
    name = "realKnownCause/step.csv"
    begin = datetime.fromisoformat("2026-01-05")  # without a zone, as its files have it
    times = [begin + timedelta(minutes=5 * row) for row in range(3000)]
    (tmp_path / "labels").mkdir()
    windows = {name: [[f"{times[2000]}.000000", f"{times[2100]}.000000"]]}
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    rows = [f"{at},{row % 7 + (500 if row >= 2000 else 0)}" for row, at in enumerate(times)]
    path.write_text("\n".join(["timestamp,value", *rows]))
    monkeypatch.setenv(nab.VARIABLE, str(tmp_path))
    figures = nab.run(smoke=True)
    assert figures["nab.issue.standard"] == pytest.approx(100)
    assert "nab.others.standard" not in figures
    monkeypatch.delenv(nab.VARIABLE)
    assert nab.run(smoke=True) == {}

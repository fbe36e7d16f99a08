"""A minute of chaos: under load, with everything dying in turn, nothing accepted is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos.faults import FAULTS, chosen, plan
from benchmarks.chaos.statistics import Cell, disagreements

ROOT = Path(__file__).parents[2]
SEED = 7
RUN_S = 60
END_S = 420  # start, heal, the longest wait for quiet, and a slow machine


@pytest.mark.timeout(END_S + 30)
def test_a_minute_of_faults_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """What clients were told is accepted is in Postgres, once, and the batches add up to it."""
    argv = [sys.executable, "-m", "benchmarks.chaos", "--seconds", str(RUN_S)]
    argv += ["--seed", str(SEED), "--json", "--logs", str(tmp_path / "logs")]
    env = {k: v for k, v in os.environ.items() if not k.endswith(("DATABASE_URL", "REDIS_URL"))}
    run = subprocess.run(
        argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=END_S, check=False
    )
    assert run.stdout, run.stderr[-2_000:]
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["accepted"] > 0
    assert result["persisted"] == result["accepted"], result
    counts = ("lost", "duplicated", "dead_lettered", "batches_disagreeing", "spool_bytes_left")
    assert {name: result[name] for name in counts} == dict.fromkeys(counts, 0), result
    assert result["statistics_equal"] is True, result["statistics_wrong"]
    assert result["errors_outside_database_or_web_faults"] == 0, result["unexpected_errors"]
    assert run.returncode == 0


TOLD = {
    "total_actions": 7,
    "successful_actions": 4,
    "failed_actions": 3,
    "average_execution_time_ms": 8.57,
    "actions_by_type": {"crm_create": 5, "crm_get": 2},
    "actions_by_provider": {"hubspot": 7},
    "actions_by_status": {"success": 4, "failure": 1, "timeout": 2},
}
COUNTED = [
    Cell("crm_create", "hubspot", "success", 4, 40),
    Cell("crm_create", "hubspot", "failure", 1, 10),
    Cell("crm_get", "hubspot", "timeout", 2, 10),
]


def test_statistics_that_equal_the_rows_are_told_from_others() -> None:
    """A row too many, one in another cell, and a time that is off are each named."""
    assert disagreements(TOLD, COUNTED) == []
    assert disagreements({**TOLD, "percentiles_ms": {"p50": 1}}, COUNTED) == []
    nothing = dict.fromkeys(TOLD, 0) | {name: {} for name in TOLD if "_by_" in name}
    assert disagreements(nothing, []) == []
    one_more = [*COUNTED, Cell("crm_get", "hubspot", "success", 1, 10)]
    assert len(disagreements(TOLD, one_more)) >= 4
    moved = {**TOLD, "actions_by_type": {"crm_create": 4, "crm_get": 3}}
    assert [said.partition(":")[0] for said in disagreements(moved, COUNTED)] == ["actions_by_type"]
    off = {**TOLD, "average_execution_time_ms": 8.58}
    (said,) = disagreements(off, COUNTED)
    assert "told 8.58, counted 8.571" in said
    assert disagreements({}, COUNTED)


def test_a_seed_replays_its_faults() -> None:
    """A run that fails can be looked at again."""
    first, again = (list(plan(7, 600, FAULTS)) for _ in range(2))
    assert first == again
    assert first != list(plan(8, 600, FAULTS))
    assert {fault for step in first for fault in step.faults} == set(FAULTS)
    assert all(len({fault.area for fault in s.faults}) == len(s.faults) for s in first)


def test_a_longer_run_begins_as_a_shorter_one() -> None:
    """Its faults are those of the seed, whatever the time."""
    short, long = list(plan(7, 60, FAULTS)), list(plan(7, 600, FAULTS))
    assert long[: len(short)] == short


def test_faults_are_chosen_by_name_or_area() -> None:
    """And a name that does not exist is told."""
    assert {f.area for f in chosen(["broker"])} == {"broker"}
    assert [f.name for f in chosen(["beat-kill"])] == ["beat-kill"]
    assert chosen([]) == FAULTS
    with pytest.raises(ValueError, match="no fault meteor; there are web-kill"):
        chosen(["meteor"])

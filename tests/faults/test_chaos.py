"""A minute of chaos: under load, with everything dying in turn, nothing accepted is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos.faults import FAULTS, chosen, plan

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
    assert result["errors_outside_database_or_web_faults"] == 0, result["unexpected_errors"]
    assert run.returncode == 0


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

"""The online anomaly score on the Numenta Anomaly Benchmark, by the benchmark's own scoring.

Its data are not part of this repository: OPSLEDGER_NAB names a copy of it
(https://github.com/numenta/NAB), and without one nothing is measured.
"""

import csv
import json
import os
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

from app.domain.extremes import Watcher

from .score import Labelled, best_score

VARIABLE = "OPSLEDGER_NAB"
GROUPS = {
    "issue": ("realKnownCause/", "realAWSCloudwatch/"),
    "known_cause": ("realKnownCause/",),
    "cloudwatch": ("realAWSCloudwatch/",),
    # Those that played no part in choosing what the score looks at.
    "others": ("artificial", "realAdExchange/", "realTraffic/", "realTweets/"),
    "all": ("",),
}
DAY_S = 86_400
SMOKE_FILES = 2


def run(smoke: bool) -> dict[str, float]:
    """The benchmark's score, standard profile, of groups of its files."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        print(f"{VARIABLE} names no copy of the benchmark: nothing is measured")
        return {}
    files = read_files(Path(folder), SMOKE_FILES if smoke else None)
    figures: dict[str, float] = {"nab.files": len(files)}
    for group, begins in GROUPS.items():
        own = [file for name, file in files.items() if name.startswith(begins)]
        if any(file.windows for file in own):
            figures[f"nab.{group}.standard"], figures[f"nab.{group}.threshold"] = best_score(own)
    return figures


def read_files(folder: Path, files_max: int | None = None) -> dict[str, Labelled]:
    """The files of a copy of the benchmark by name, with our score of each row."""
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    names = sorted(name for name in windows if (folder / "data" / name).exists())
    found = {}
    for name in names[:files_max]:
        with (folder / "data" / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        times = [datetime.fromisoformat(row["timestamp"]) for row in rows]
        scores = score_rows(times, [float(row["value"]) for row in rows])
        found[name] = Labelled(scores, [_places(times, *window) for window in windows[name]])
    return found


def score_rows(times: list[datetime], values: list[float]) -> list[float]:
    """Our score of each row, of what came until then alone."""
    step_s = median((later - at).total_seconds() for at, later in pairwise(times))
    watcher = Watcher(max(1, round(DAY_S / step_s)))
    return [found.score if (found := watcher.score(value)) else 0.0 for value in values]


def _places(times: list[datetime], first: str, last: str) -> tuple[int, int]:
    """The first and the last row of a window."""
    return times.index(datetime.fromisoformat(first)), times.index(datetime.fromisoformat(last))

"""`make bench`: runs the benchmarks named (all, if none), prints a table, keeps the figures."""

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from . import (
    access,
    adapter,
    alerts,
    archive,
    archive_crash,
    archive_proof,
    backlog,
    capture,
    delay,
    drain,
    durability,
    forward,
    forward_dead,
    integrity,
    nab,
    outage,
    pages,
    persist,
    query,
    report,
    stream,
    throughput,
)

RESULTS = Path(__file__).parent / "results" / "latest.json"
BENCHMARKS: dict[str, Callable[[bool], dict[str, float]]] = {
    "access": access.run,
    "adapter": adapter.run,
    "alerts": alerts.run,
    "archive": archive.run,
    "archive_crash": archive_crash.run,
    "archive_proof": archive_proof.run,
    "backlog": backlog.run,
    "capture": capture.run,
    "delay": delay.run,
    "drain": drain.run,
    "durability": durability.run,
    "forward": forward.run,
    "forward_dead": forward_dead.run,
    "integrity": integrity.run,
    "nab": nab.run,
    "outage": outage.run,
    "pages": pages.run,
    "persist": persist.run,
    "query": query.run,
    "stream": stream.run,
    "throughput": throughput.run,
}
GROUPS = {"ingest": ("capture", "throughput", "persist", "drain", "delay", "durability")}


def main() -> None:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*BENCHMARKS, *GROUPS]))
    parser.add_argument("--smoke", action="store_true", help="few rounds: only whether it runs")
    parser.add_argument(
        "--rows",
        type=int,
        help="how many records `query` (1000000) or `archive_proof` (2000000) loads",
    )
    arguments = parser.parse_args()
    names = [one for name in arguments.names for one in GROUPS.get(name, (name,))]
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}"
        )
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    runs = BENCHMARKS | {
        "archive_proof": partial(archive_proof.run, rows=arguments.rows),
        "query": partial(query.run, rows=arguments.rows),
    }
    for name in names or BENCHMARKS:
        figures = runs[name](arguments.smoke)
        print(f"\n{name}")
        for key, value in figures.items():
            print(f"  {key:<44} {value:>14,.2f}")
        kept.update(figures)
    if not arguments.smoke:
        kept["machine"] = f"{platform.machine()}, {os.cpu_count()} cores"
        kept["measured_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        report.write(kept)


if __name__ == "__main__":
    main()

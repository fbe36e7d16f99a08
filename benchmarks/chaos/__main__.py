"""`make chaos`: faults under load for a bounded time, then a count of what was accepted."""

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.rabbitmq import find_rabbitmq
from benchmarks.support import BROKERS, Bench, servers

from .faults import FAULTS, Step, chosen, plan, thaw_all
from .load import Load
from .stack import Stack
from .verdict import Ledger, Verdict
from .windows import Windows

QUIET_SECONDS_MAX = 180.0  # a shipment sent several times waits long for its next turn
WARM_UP_S = 2.0
POLL_S = 0.5
SEED_MAX = 1_000_000


def say(text: str) -> None:
    """Tell how it goes, beside the result."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 if nothing accepted was lost, doubled, set aside or miscounted, else 1."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of faults (60)")
    parser.add_argument("--seed", type=int, help="replays the faults of an earlier run")
    parser.add_argument("--rate", type=float, default=80, help="requests a second (80)")
    parser.add_argument(
        "--faults",
        default="",
        help=f"comma-separated areas or names: {', '.join(f.name for f in FAULTS)}",
    )
    parser.add_argument(
        "--broker", choices=BROKERS, default="valkey", help="rabbitmq has to be installed (valkey)"
    )
    parser.add_argument("--json", action="store_true", help="the result as one line of JSON")
    parser.add_argument("--logs", type=Path, help="keep the logs of all programs in this folder")
    options = parser.parse_args(arguments)
    seed = random.randrange(SEED_MAX) if options.seed is None else options.seed
    try:
        faults = chosen([name for name in options.faults.split(",") if name])
    except ValueError as error:
        parser.error(str(error))
    say(f"seed {seed}")
    signal.signal(signal.SIGTERM, _interrupt)
    if options.broker == "rabbitmq" and find_rabbitmq() is None:
        parser.error("RabbitMQ is not installed: no rabbitmq-server with its epmd")
    with servers(options.broker) as bench:
        try:
            result = run(bench, list(plan(seed, options.seconds, faults)), options.rate)
        finally:
            if options.logs:
                _keep_logs(bench, options.logs)
    result["seed"] = seed
    show(result, as_json=options.json)
    return 0 if result["passed"] else 1


def run(bench: Bench, steps: list[Step], rate: float) -> dict[str, Any]:
    """Start the stack, break it step by step under load, heal it, count."""
    stack, windows = Stack(bench), Windows()
    load: Load | None = None
    ledger = Ledger(bench.env["MAINTENANCE_DATABASE_URL"])
    try:
        stack.start()
        load = Load(list(stack.ports.values()), rate)
        say(f"ingest is {'there' if load.ingest else 'not there'}; {len(steps)} steps")
        load.start()
        stack.tend_for(WARM_UP_S)
        for step in steps:
            _carry_out(step, stack, windows)
        load.stop()
        quiet_s = _wait_for_quiet(stack, ledger)
        stack.wait_for_web()
        verdict = ledger.judge(load.tally, load.statistics())
        left, exits = stack.spool_bytes(), stack.unasked_exits
    finally:
        _ignore_interrupts()
        thaw_all(stack)
        ledger.close()
        if load is not None:
            load.stop()
        stack.stop()
    return {
        **_figures(verdict),
        "faults": sum(len(step.faults) for step in steps),
        "quiet_after_s": round(quiet_s, 1),
        "spool_bytes_left": left,
        "exits_nobody_asked_for": exits.total(),
        "exits": dict(exits),
        **windows.report(load.tally.calls),
    }


def _carry_out(step: Step, stack: Stack, windows: Windows) -> None:
    say(f"{time.strftime('%H:%M:%S')} {' + '.join(f.name for f in step.faults)}")
    with windows.opened(step.faults):
        for fault in step.faults:
            fault.begin(stack, step.pick)
        stack.tend_for(step.hold_s)
        for fault in reversed(step.faults):
            fault.end(stack, step.pick)
    stack.tend_for(step.pause_s)


def _wait_for_quiet(stack: Stack, ledger: Ledger) -> float:
    """Wait until the spool is empty and no more rows come; returns after how many seconds."""
    started = time.monotonic()
    rows, same = -1, 0
    while time.monotonic() - started < QUIET_SECONDS_MAX:
        before, rows = rows, ledger.rows()
        same = same + 1 if rows == before and not stack.spool_bytes() else 0
        if same >= 3:
            break
        stack.tend_for(POLL_S)
    return time.monotonic() - started


def _figures(verdict: Verdict) -> dict[str, Any]:
    return {**asdict(verdict), "passed": verdict.passed}


def _keep_logs(bench: Bench, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in bench.folder.rglob("*.log"):
        (folder / path.name).write_bytes(path.read_bytes())
    say(f"logs are in {folder}")


def show(result: dict[str, Any], *, as_json: bool) -> None:
    """Print the result, for people or programs."""
    if as_json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        if isinstance(value, dict):
            print(key)
            for name, number in value.items():
                print(f"  {name:<42} {number:>10}")
        elif isinstance(value, list | tuple):
            for item in value:
                print(f"{key}: {item}")
        else:
            print(f"{key:<44} {value!s:>10}")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _ignore_interrupts() -> None:
    """What was started is being stopped; let that finish, it is bounded."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

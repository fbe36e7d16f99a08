"""make fuzz: the service as it runs in production, on servers of its own; thousands of requests."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.fuzzing import SECRETS, fuzz, rounds
from tests.support.product import Product, migrated_environment
from tests.support.servers import start_broker, start_postgres

CASES_MIN = 2_000
EXAMPLES_MAX = 30  # of one operation in one phase
DATABASE = "opsledger_fuzz"


def main() -> int:
    """Run all rounds; says what each found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--seed", type=int, help="of what is made up")
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"how long all rounds take together, instead of {EXAMPLES_MAX} examples of each phase",
    )
    arguments, options = parser.parse_known_args()  # the others are schemathesis's
    if arguments.seed is not None:
        options += ["--seed", str(arguments.seed)]
    bounded = "--max-examples" in options or arguments.seconds is not None
    if not bounded:
        options += ["--max-examples", str(EXAMPLES_MAX)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("postgres", "broker"):
            (folder / part).mkdir()
        postgres, broker = start_postgres(folder / "postgres"), start_broker(folder / "broker")
        try:
            total, passed = _fuzz_all(folder, postgres, broker, options, arguments.seconds)
        finally:
            postgres.drop_database(DATABASE)
            for server in (postgres, broker):
                if hasattr(server, "stop"):
                    server.stop()
    print(f"{total:,} cases in all")
    return 0 if passed and (bounded or total >= CASES_MIN) else 1


def _fuzz_all(
    folder: Path, postgres: Any, broker: Any, options: list[str], seconds: float | None
) -> tuple[int, bool]:
    """How many cases there were, and whether all were answered as they should be."""
    postgres.ensure_database(DATABASE)
    link = {"REDIS_URL": broker.url} if broker else {}
    env = migrated_environment(postgres.urls(DATABASE), {**link, **SECRETS}, folder)
    total, passed = 0, True
    with Product(env, folder, ("web", "worker")) as product:
        plan = rounds(env)
        if seconds is not None:
            options = [*options, "--max-time", str(max(1, round(seconds / len(plan))))]
        for one in plan:
            result = fuzz(product, one, folder, options)
            verdict = "passed" if result.passed else f"FAILED\n{result.said}"
            print(f"{result.name}: {result.cases:,} cases {verdict}", flush=True)
            total, passed = total + result.cases, passed and result.passed
    return total, passed


if __name__ == "__main__":
    sys.exit(main())

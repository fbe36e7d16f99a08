"""make fuzz: the service as it runs in production, on servers of its own; thousands of requests."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.fuzzing import fuzz, rounds
from tests.support.product import Product, migrated_environment
from tests.support.servers import start_broker, start_postgres

CASES_MIN = 2_000
EXAMPLES_MAX = 30  # of one operation in one phase
DATABASE = "opsledger_fuzz"


def main(options: list[str]) -> int:
    """Run all rounds; says what each found.

    Args:
        options: of schemathesis, in the place of the number of examples.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("postgres", "broker"):
            (folder / part).mkdir()
        postgres, broker = start_postgres(folder / "postgres"), start_broker(folder / "broker")
        try:
            return _fuzz_all(folder, postgres, broker, options)
        finally:
            postgres.drop_database(DATABASE)
            for server in (postgres, broker):
                if hasattr(server, "stop"):
                    server.stop()


def _fuzz_all(folder: Path, postgres: Any, broker: Any, options: list[str]) -> int:
    postgres.ensure_database(DATABASE)
    link = {"REDIS_URL": broker.url} if broker else {}
    env = migrated_environment(postgres.urls(DATABASE), link, folder)
    total, passed = 0, True
    with Product(env, folder, ("web", "worker")) as product:
        for one in rounds(env):
            result = fuzz(product, one, folder, options or ["--max-examples", str(EXAMPLES_MAX)])
            verdict = "passed" if result.passed else f"FAILED\n{result.said}"
            print(f"{result.name}: {result.cases:,} cases {verdict}", flush=True)
            total, passed = total + result.cases, passed and result.passed
    print(f"{total:,} cases in all")
    return 0 if passed and (options or total >= CASES_MIN) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

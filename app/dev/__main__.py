"""`python -m app.dev`, which is `make run`: the whole product on this machine until Ctrl-C."""

import argparse
import os
import signal
import sys
from pathlib import Path

from . import launch
from .errors import DevError
from .interrupts import Interrupts, Stopped
from .screen import Screen
from .settings import RunSettings
from .stack import Stack

ROOT = Path(__file__).absolute().parents[2]
API_KEY = "test-api-key-12345"
BANNER = """
------------------------------------------------------------------------
Opsledger is ready.

  Address   http://localhost:{port}/
  API docs  http://localhost:{port}/docs
  API key   {key}
  Logs      {logs}

Try it from another shell:

  curl -X POST localhost:{port}/api/v1/crm/contacts -H "X-API-Key: {key}" \
-H "Content-Type: application/json" \
-d '{{"email":"test@example.com","first_name":"Test","last_name":"User"}}'

  curl localhost:{port}/api/v1/logs/actions -H "X-API-Key: {key}"

  curl localhost:{port}/api/v1/logs/stats -H "X-API-Key: {key}"

Ctrl-C stops everything; the data stay in {data_dir}.
------------------------------------------------------------------------"""


def main() -> int:
    """Run the stack until a signal; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m app.dev", description=__doc__)
    parser.add_argument(
        "--die-with-parent", action="store_true", help="stop when the calling process (make) ends"
    )
    interrupts = Interrupts()
    interrupts.listen()
    if parser.parse_args().die_with_parent:
        launch.die_with(os.getppid(), signal.SIGTERM)
    screen = Screen()
    try:
        return run(RunSettings.from_environment(ROOT, os.environ), screen, interrupts)
    except DevError as error:
        print(f"\n{error}", file=sys.stderr)
    except PermissionError as error:
        name = error.filename or "a file"
        print(
            f"\n{name} belongs to another user: run as that user, remove it, or choose another "
            "place by OPSLEDGER_DATA_DIR.",
            file=sys.stderr,
        )
    return 1


def run(settings: RunSettings, screen: Screen, interrupts: Interrupts) -> int:
    """Start the stack, tend it, stop it."""
    stack = Stack(settings, screen, interrupts)
    try:
        stack.up()
        screen.block(
            BANNER.format(
                port=settings.port,
                key=API_KEY,
                data_dir=shown(settings.data_dir),
                logs=shown(settings.data_dir / "logs"),
            )
        )
        stack.tend_until_stopped()
    except Stopped:
        pass
    finally:
        stack.down()
    screen.note("all", "stopped")
    return 0


def shown(path: Path) -> str:
    """Return a path as a person in the checkout would type it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


if __name__ == "__main__":
    sys.exit(main())

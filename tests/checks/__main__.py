"""`python -m tests.checks`: every check, one line each; exit status 1 if one found something."""

import sys

from tests.checks.links import broken_links
from tests.checks.migrations import lint_migrations


def main() -> int:
    """Run the checks and print what they found."""
    failed = False
    for name, check in (("migrations", lint_migrations), ("links in the docs", broken_links)):
        found = check()
        print(f"{name}: {'ok' if not found else ''}")
        for line in found:
            print(f"  {line}")
        failed = failed or bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

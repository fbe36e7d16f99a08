"""docs/configuration.md, made of the settings; `python -m tests.checks.configuration` writes it."""

from pathlib import Path

from app.config import GIB, KIB, MIB, setting_fields

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"

HEAD = """# Configuration

Everything is set by environment variables, read once when a process starts. A value that is not
valid stops the process with a sentence that names the variable and what it takes.

| variable | default | unit | what for, and why this default |
|---|---|---|---|
"""

PROCESSES = """
## Of the processes

These are read by the command lines of the Procfile, not by the code.

| variable | default | unit | what for, and why this default |
|---|---|---|---|
| `OPSLEDGER_HOST` | `0.0.0.0` | address | Where gunicorn listens; `make run` sets 127.0.0.1. |
| `PORT` | `8000` | port | Where gunicorn listens, as hosts that read a Procfile set it. |
| `OPSLEDGER_WEB_WORKERS` | `2` | processes | Of gunicorn; one or two per core. |
| `OPSLEDGER_WEB_THREADS` | `8` | threads | Of each; queries mostly wait for Postgres. |
| `OPSLEDGER_WORKER_CONCURRENCY` | `4` | threads | Of the Celery worker; each takes a connection. |

## Several roles, one database

With the URLs of all four roles, what serves queries cannot write, what writes cannot read, and
only the maintenance role sees all tenants. With `DATABASE_URL` alone, that role serves for all: if
it owns the tables, row-level security does not bind it, and what separates tenants is the query's
own condition alone. A warning in the log says so at every start.

## Fixed limits

Part of the contract, so not settings: a page has at most 1,000 rows (a trail 500, contacts 100), an
offset at most 10,000, recent failures look back at most 1,440 minutes, an operation shows at most
1,000 records of each kind; names have up to 100 characters, identifiers 255, error messages 16,384
(cut with a mark); payloads are kept to a depth of 64; an ingest request has at most 1,000 records
and 5,000,000 bytes, as sent and inflated, and no record of it is more than 5 minutes ahead.
"""


def render() -> str:
    """The document as the settings have it."""
    rows = [
        "| `{name}` | {default} | {unit} | {reason} |".format(
            **item.metadata, default=_shown(item.default)
        )
        for item in setting_fields()
    ]
    return HEAD + "\n".join(rows) + "\n" + PROCESSES


def _shown(default: object) -> str:
    if default in ("", ()):
        return "empty"
    if isinstance(default, bool):
        return f"`{int(default)}`"
    if isinstance(default, int):
        for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
            if default >= unit and default % unit == 0:
                return f"`{default}` ({default // unit} {name})"
    return f"`{default}`"


if __name__ == "__main__":
    DOCUMENT.write_text(render())

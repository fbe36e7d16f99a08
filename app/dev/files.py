"""Small files of the data directory: passwords and states, written whole or not at all and
readable by their owner only; logs, kept within a bound.
"""

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

LOG_BYTES_MAX = 32 * 1024 * 1024
"""A log that has grown past this becomes NAME.1, so a stack left running fills no disk."""
TAIL_BYTES_MAX = 64 * 1024
TAIL_LINES_MAX = 25


def make_directory(path: Path) -> None:
    """Make a directory of our data: others may not list it; root lets them pass through, for the
    database, which runs as another user then.
    """
    if not path.exists():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can read it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_json(path: Path) -> dict[str, str]:
    """Return the strings a JSON file holds by name; nothing if it is missing or torn."""
    try:
        loaded = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(k): str(v) for k, v in loaded.items()} if isinstance(loaded, dict) else {}


def keep_passwords(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Return a random password per name, the same ones at each start."""
    held = read_json(path)
    wanted = {name: held.get(name) or secrets.token_hex(24) for name in names}
    if wanted.items() - held.items():
        write_private(path, json.dumps(held | wanted, indent=1))
    return wanted


def size_of(path: Path) -> int:
    """Return a file's size in bytes, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def tail(path: Path, *, start: int = 0, lines_max: int = TAIL_LINES_MAX) -> str:
    """Return the last lines of a log, of what was written from byte `start` on."""
    with path.open("rb") as file:
        file.seek(max(start, size_of(path) - TAIL_BYTES_MAX))
        text = file.read(TAIL_BYTES_MAX).decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines_max:])


def rotate(path: Path) -> bool:
    """Empty a log that has grown past its bound, keeping what it held as NAME.1."""
    if size_of(path) <= LOG_BYTES_MAX:
        return False
    # Its writer has it open for appending: copied and cut, since a rename would take it along.
    path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
    os.truncate(path, 0)
    return True

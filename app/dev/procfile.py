"""The Procfile: what each process of the product is started as, in one place for development and
production.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from .errors import ProcfileInvalid

LINE = re.compile(r"^([A-Za-z0-9_-]+):\s*(\S.*)$", re.MULTILINE)


def read_procfile(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the commands of the processes named, in that order; others are left out."""
    text = path.read_text() if path.exists() else ""
    commands = {name: command.rstrip() for name, command in LINE.findall(text)}
    for name in names:
        if name not in commands:
            raise ProcfileInvalid(path=path, name=name)
    return {name: commands[name] for name in names}

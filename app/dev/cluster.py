"""A Postgres cluster as files: how it is made, whose it is, and what a crash may leave in it."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from . import files, process
from .errors import NoUnprivilegedUser
from .process import Identity

INITDB_SECONDS_MAX = 120.0
BUILTIN_LOCALE_SINCE = 17
NO_PROCESS = 2**31 - 2
"""A process id above every system's limit."""


def create(
    cluster: Path,
    *,
    programs: Path,
    superuser: str,
    password_file: Path,
    password: str,
    user: Identity | None,
    log_path: Path,
    env: Mapping[str, str],
) -> int:
    """Make a cluster that asks every client for a password; return the exit status of initdb."""
    # Beside its place and then renamed, so that it is there whole or not at all.
    draft = cluster.with_name(f"{cluster.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    files.write_private(password_file, password)
    give(draft, user)
    give(password_file, user)
    argv = [
        str(programs / "initdb"),
        f"--pgdata={draft}",
        f"--username={superuser}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        *_locale(programs),
    ]
    initdb = process.spawn(argv, log_path=log_path, env=env, identity=user)
    process.wait_until(lambda: initdb.poll() is not None, INITDB_SECONDS_MAX)
    process.kill(initdb)
    password_file.unlink()
    if initdb.returncode == 0:
        draft.rename(cluster)
    return initdb.returncode


def give(path: Path, user: Identity | None) -> None:
    """Make a path the server's user's."""
    if user is None:
        return
    try:
        os.chown(path, user.uid, user.gid)
    except OSError as error:
        # A user namespace in which we are root and nobody else exists.
        raise NoUnprivilegedUser from error


def unblock(cluster: Path, is_server: Callable[[int], bool]) -> None:
    """Correct a lock file left by a crash whose process id another program has by now.

    Postgres would take that program for itself and refuse. The file is not removed, as it also
    tells Postgres which shared memory must be out of use.
    """
    path = cluster / "postmaster.pid"
    try:
        first, *rest = path.read_text().splitlines(keepends=True)
        running = is_server(int(first))
    except (FileNotFoundError, ValueError):
        return
    if not running:
        path.write_text("".join([f"{NO_PROCESS}\n", *rest]))


def _locale(programs: Path) -> list[str]:
    """Return initdb's locale arguments: code point order and, where it can, all languages' case."""
    answer = subprocess.run(
        [str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    major = re.search(r"\d+", answer.stdout)
    if major and int(major[0]) >= BUILTIN_LOCALE_SINCE:
        return ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--no-locale"]

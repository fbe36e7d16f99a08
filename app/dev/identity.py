"""Whom Postgres runs as when we are root, which it refuses to be: an unprivileged user, who gets
the one capability of passing closed directories if the checkout lies behind any (under /root,
say).
"""

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from . import launch
from .errors import NotReachable, NoUnprivilegedUser
from .process import Identity


def server_identity(cluster: Path, programs: Iterable[Path]) -> Identity | None:
    """Return the user to run as, or None for the one we are.

    Args:
        cluster: the data directory; if another user has it already, that user keeps it.
        programs: files the user must be able to read and run.
    """
    if os.geteuid() != 0:
        return None
    if not _holds(launch.CAP_CHOWN, launch.CAP_SETGID, launch.CAP_SETUID):
        raise NoUnprivilegedUser
    uid, gid = _owner(cluster) or _unprivileged_user()
    blocked = [path for path in (cluster, *programs) if not _reachable(path, uid, gid)]
    if blocked and not _holds(launch.CAP_DAC_OVERRIDE, launch.CAP_SETPCAP):
        raise NotReachable(user=_user_name(uid), path=blocked[0])
    return Identity(uid, gid, override=bool(blocked))


def _owner(path: Path) -> tuple[int, int] | None:
    if not path.exists():
        return None
    found = path.stat()
    return (found.st_uid, found.st_gid) if found.st_uid != 0 else None


def _unprivileged_user() -> tuple[int, int]:
    # initdb looks its user up by id, so it must be one the system knows.
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    if not users:
        raise NoUnprivilegedUser
    chosen = next((user for user in users if user.pw_name == "nobody"), users[0])
    return chosen.pw_uid, chosen.pw_gid


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _reachable(path: Path, uid: int, gid: int) -> bool:
    """Tell whether a user can pass all directories on the way to a path, and read it if a file."""
    # Both ways, as a symbolic link may itself lie in a closed directory.
    parents = {*path.absolute().parents, *path.resolve().parents}
    passable = all(_permits(parent, uid, gid, stat.S_IXOTH) for parent in parents)
    if not passable or not path.is_file():
        return passable
    return _permits(path, uid, gid, stat.S_IROTH | stat.S_IXOTH)


def _permits(path: Path, uid: int, gid: int, rights: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return True
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
    return found.st_mode >> shift & rights == rights


def _holds(*capabilities: int) -> bool:
    """Tell whether we hold all of these capabilities; a container may have taken some away."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        # No Linux: root is all-powerful, but cannot pass its powers on either.
        return launch.CAP_DAC_OVERRIDE not in capabilities
    permitted = next(line.split()[1] for line in status.splitlines() if line.startswith("CapPrm"))
    return all(int(permitted, 16) >> capability & 1 for capability in capabilities)

"""The first thing a child process runs: gives up root, ties its life to its parent's, and becomes
the real program. A script of its own, since only a fresh single-threaded process can do this
between fork and exec without risk; so it imports nothing but the standard library.

Usage: launch.py UID GID OVERRIDE PARENT_PID DEATH_SIGNAL PROGRAM [ARGUMENT ...]
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_GET_SECUREBITS = 27
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_CHOWN = 0
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_SETGID = 6
CAP_SETUID = 7
CAP_SETPCAP = 8
KEEP = -1
"""In the place of UID: stay the user we are."""


class CapabilityHeader(ctypes.Structure):
    """`cap_user_header_t` of capset(2)."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapabilityData(ctypes.Structure):
    """`cap_user_data_t` of capset(2): capabilities 0 to 31, and a second one for the rest."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def main(arguments: list[str]) -> int:
    """Become the program named in the arguments; return only if that failed."""
    uid, gid, override, parent, death_signal = (int(text) for text in arguments[:5])
    program = arguments[5:]
    try:
        if uid != KEEP:
            become(uid, gid, override=bool(override))
        die_with(parent, death_signal)
        os.execv(program[0], program)
    except OSError as error:
        print(f"cannot start {program[0]}: {error}", file=sys.stderr)
    return 127


def become(uid: int, gid: int, *, override: bool) -> None:
    """Turn from root into another user, who may still pass closed directories if `override`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if override:
        # So that capabilities outlive setuid, and count in access(2), by which Postgres looks for
        # its own programs.
        bits = libc.prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) | SECBIT_NO_SETUID_FIXUP
        check(libc.prctl(PR_SET_SECUREBITS, bits, 0, 0, 0))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if override:
        keep_override(libc)
    os.umask(0o077)


def keep_override(libc: ctypes.CDLL) -> None:
    """Reduce our capabilities to file access, and let them live through exec."""
    header = CapabilityHeader(CAPABILITY_VERSION_3, 0)
    data = (CapabilityData * 2)()
    check(libc.capget(ctypes.byref(header), data))
    # A container may lack READ_SEARCH; OVERRIDE alone is enough.
    kept = [c for c in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH) if data[0].permitted >> c & 1]
    mask = sum(1 << capability for capability in kept)
    data[0] = CapabilityData(mask, mask, mask)
    data[1] = CapabilityData(0, 0, 0)
    check(libc.capset(ctypes.byref(header), data))
    for capability in kept:
        check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def die_with(parent: int, death_signal: int) -> None:
    """Ask the kernel for `death_signal` when the parent dies; where it cannot, do without."""
    if not sys.platform.startswith("linux"):
        return
    # After the change of user, which would clear it.
    check(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0))
    if os.getppid() != parent:
        raise OSError("its parent died first")


def check(result: int) -> None:
    """Raise what errno says if a C call failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Waiting for Postgres in a gevent process, whose one thread serves all, without stopping it."""

import sys
from typing import Any

from psycopg2 import OperationalError, extensions


def is_cooperative() -> bool:
    """Whether this is a gevent process, in which to wait costs next to nothing."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def wait_cooperatively() -> None:
    """Have psycopg2, which waits in C, let the others go on meanwhile."""
    extensions.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    from gevent.socket import wait_read, wait_write  # type: ignore[import-untyped]

    waits = {extensions.POLL_READ: wait_read, extensions.POLL_WRITE: wait_write}
    while (state := connection.poll()) != extensions.POLL_OK:
        if state not in waits:
            raise OperationalError(f"unexpected state {state} of a connection")
        waits[state](connection.fileno())

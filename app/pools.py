"""Pooled HTTP connections to hosts that tenants name, each to an address that was judged."""

import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from .domain.destinations import Destinations
from .outbound import DestinationRefused, connect

POOLS_MAX = 100  # hosts whose connections are kept
CONNECTIONS_MAX = 10  # kept for each host


class ForbiddenAddress(HTTPError):
    """This address is none that may be reached."""


def guarded_pools(destinations: Destinations, **options: Any) -> urllib3.PoolManager:
    """Pools that connect where the platform lets them, and follow no redirect by themselves.

    Args:
        destinations: plain HTTP is spoken with networks named there alone.
        options: of urllib3's PoolManager, as ssl_context.
    """

    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _guard(self, destinations, plain=True)

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _guard(self, destinations, plain=False)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    pools = urllib3.PoolManager(
        num_pools=POOLS_MAX, maxsize=CONNECTIONS_MAX, retries=False, **options
    )
    pools.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
    return pools


def _guard(connection: Any, destinations: Destinations, *, plain: bool) -> socket.socket:
    """A connection to the first address of a host that answers, if all of them are allowed."""
    host, port = connection.host, connection.port
    try:
        return connect(host, port, destinations, timeout_s=connection.timeout, plain=plain)
    except DestinationRefused as error:
        raise ForbiddenAddress(error.detail) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"{host} does not answer") from error
    except OSError as error:
        raise NewConnectionError(connection, f"{host}: {error}") from error

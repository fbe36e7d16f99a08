"""Where a tenant may have us send: public addresses alone, unless the operator allows others.

A name is resolved once, and the connection goes to the very address that was judged.
"""

import ipaddress
import socket

from ..config import Settings
from ..errors import ChannelError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def judged_address(host: str, port: int, settings: Settings) -> str:
    """The address (text) to connect to for a host.

    Raises:
        ChannelError: it cannot be resolved, or leads where nobody may have us send.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ChannelError(f"{host} cannot be resolved: {error}", permanent=False) from error
    addresses = [str(item[4][0]) for item in found]
    if not settings.alert_private_targets:
        for address in addresses:  # all of them: what is judged must not depend on an order
            if not _is_public(ipaddress.ip_address(address.partition("%")[0])):
                raise ChannelError(f"{host} is not a public address", permanent=True)
    return addresses[0]


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return _is_public(inner)
        if address in ipaddress.ip_network("64:ff9b::/96"):  # NAT64: an IPv4 address in disguise
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast

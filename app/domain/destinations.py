"""Which addresses a URL that a tenant gave may lead to: public ones, and those the platform allows.

An address is judged, never a name: what a name resolves to is its owner's to change at any moment.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IPv6 networks whose addresses carry an IPv4 address, to which a gateway or the host translates
# them: the network, and by how many bits the IPv4 address is shifted.
CARRIERS: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)
# Not global whatever ipaddress says, which differs between versions of Python.
CLOSED: tuple[Network, ...] = (
    IPv4Network("168.63.129.16/32"),  # a cloud's metadata, public by its number
    IPv4Network("192.0.0.0/24"),  # of protocols, and another cloud's metadata
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv6Network("64:ff9b:1::/48"),  # carries IPv4 by a rule of the site, which cannot be told
    IPv6Network("2001::/32"),  # Teredo, likewise
)


class Destinations:
    """Judges addresses.

    Args:
        allowed: networks that may be reached although they are not public, as 10.1.0.0/16.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed: tuple[Network, ...] = tuple(ip_network(one) for one in allowed)

    def allow(self, text: str, *, public: bool = True) -> bool:
        """Whether the address of this text may be reached; what is no address may not.

        Args:
            public: whether public ones may; what is sent in plain goes to named networks alone.
        """
        try:
            address = _meant(ip_address(text.partition("%")[0]))
        except ValueError:
            return False
        return self._named(address) or (public and _is_public(address))

    def _named(self, address: Address) -> bool:
        return any(address in network for network in self._allowed)


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries, if it does."""
    if isinstance(address, IPv6Address):
        for network, shift in CARRIERS:
            if address in network and int(address) > 1:  # :: and ::1 are themselves
                return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if address.is_multicast or address.is_reserved:
        return False
    return address.is_global and not any(address in network for network in CLOSED)

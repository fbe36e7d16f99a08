"""Where a URL of a tenant may lead: to public addresses, and to what the platform allows."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import InvalidSetting, load_settings
from app.domain.destinations import Destinations


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "", "localhost", "0x7f.1"),
        *("2130706433", "127.1", "1.2.3.4.5", "[::1]"),
    ],
)
def test_what_is_not_public_is_not_reached(address: str) -> None:
    """However it is written, or wrapped into IPv6."""
    assert not Destinations().allow(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "2002:101:101::"]
)
def test_what_is_public_is_reached(address: str) -> None:
    """Also where it is wrapped."""
    assert Destinations().allow(address)


@given(st.ip_addresses())
def test_no_address_of_a_private_network_passes(address: IPv4Address | IPv6Address) -> None:
    """By Python's own word on what is private, local, or spoken to many."""
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is None or not mapped.is_global:
            assert not Destinations().allow(str(address))


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_wrapping(address: IPv4Address) -> None:
    """IPv4 in IPv6: mapped, translated, 6to4."""
    number = int(address)
    judged = Destinations().allow(str(address))
    for wrapped in (
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0x64FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80),
    ):
        assert Destinations().allow(str(wrapped)) == judged


def test_a_network_that_is_allowed_is_reached_and_its_neighbour_is_not() -> None:
    """In whichever way the address is wrapped."""
    destinations = Destinations(["10.1.0.0/16", "fd00::/8"])
    for address, allowed in (
        *(("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("fd12::1", True)),
        *(("10.2.0.1", False), ("127.0.0.1", False), ("169.254.169.254", False)),
    ):
        assert destinations.allow(address) is allowed
    assert ip_address("10.1.2.3").is_private


def test_the_settings_name_networks_and_origins() -> None:
    """And a word that is none stops the process with a sentence."""
    settings = load_settings(
        {
            "OPSLEDGER_PRIVATE_DESTINATIONS": "10.1.0.0/16, 192.0.2.7",
            "OPSLEDGER_CORS_ORIGINS": "https://a.example, http://localhost:3000",
        }
    )
    assert settings.private_destinations == ("10.1.0.0/16", "192.0.2.7/32")
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    for name, wrong in (
        ("OPSLEDGER_PRIVATE_DESTINATIONS", "10.1.0.1/16"),
        ("OPSLEDGER_PRIVATE_DESTINATIONS", "all"),
        *(
            ("OPSLEDGER_CORS_ORIGINS", one)
            for one in (
                *("*", "null", "https://a.example/", "https://a.example/path", "a.example"),
                *("https://A.example", "https://u:p@a.example", "ftp://a.example", "https://a:x"),
            )
        ),
    ):
        with pytest.raises(InvalidSetting, match=name):
            load_settings({name: wrong})

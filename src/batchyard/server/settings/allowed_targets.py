"""The configuration file's table [targets]: what HTTP targets may reach, though the service has keys."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from batchyard.server.settings.default_paths import SettingError

TARGETS_TABLE = "targets"
EXAMPLE = 'allow = ["10.0.0.0/8", "hooks.example.org"]'
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}\.?)+")
NAT64 = IPv6Network("64:ff9b::/96")  # IPv4 addresses in the last 32 bits (RFC 6052)

Address = IPv4Address | IPv6Address


def allowed_targets(table: Any, where: str) -> tuple[str, ...]:
    """Returns the lines of `allow`: addresses, networks and host names. Raises SettingError."""
    lines = table.get("allow") if isinstance(table, dict) and table.keys() <= {"allow"} else None
    if not isinstance(lines, list):
        raise SettingError(f"{where} must have a line such as {EXAMPLE}, and no other.")
    for line in lines:
        if not isinstance(line, str) or not (_network(line) or HOST_NAME.fullmatch(line.lower())):
            raise SettingError(f"{where}: {line!r} is no address, network or host name, as in {EXAMPLE}.")
    return tuple(line.lower() for line in lines)


def is_reachable(host: str, address: Address, allowed: tuple[str, ...]) -> bool:
    """Whether a target may have this address where the service has keys: it is an address of the internet, or `allowed`
    has it or the name of its host."""
    found = embedded_address(address)
    if found.is_global and not found.is_multicast:
        return True
    if host.lower() in allowed:
        return True
    networks = (_network(line) for line in allowed)
    return any(network is not None and found.version == network.version and found in network for network in networks)


def embedded_address(address: Address) -> Address:
    """Returns the IPv4 address that an IPv6 address leads to, where it does; else the address."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def parse_address(text: str) -> Address:
    """Returns the address of a socket, whose IPv6 form may name an interface."""
    return ip_address(text.partition("%")[0])


def _network(line: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(line, strict=False)
    except ValueError:
        return None

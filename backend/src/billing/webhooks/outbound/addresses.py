"""Which addresses a customer may have us send to: none that leads into our own network. Pure.

Sources: the IANA registries of special-purpose IPv4 and IPv6 addresses; OWASP, "Server-Side Request Forgery
Prevention". A name is judged by what it resolves to, at the moment of each connection, and that very address is
connected to; so a name that changes its mind in between (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from billing.webhooks.outbound.errors import WebhookUrlRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

URL_LENGTH_MAX = 2048
_PRINTABLE = re.compile(r"[!-~]+")
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
_PORTS = {"http": 80, "https": 443}

_CLOSED_IPV4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local, and clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
# Only what is handed out as global unicast is open, without the parts of it that carry or stand for other addresses.
_OPEN_IPV6 = IPv6Network("2000::/3")
_CLOSED_IPV6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4 carries any IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """An address of a customer in its parts; `host` is a name, or an IP address without brackets."""

    scheme: str
    host: str
    port: int
    path: str
    """With its query, exactly as it was given."""

    @property
    def authority(self) -> str:
        """What goes into the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What this installation allows beyond public addresses over https."""

    allowed_networks: tuple[Network, ...] = ()
    http_hosts: frozenset[str] = frozenset()

    def parse(self, url: str) -> Target:
        """Reads a customer's address; a name in it is not looked up here.

        Raises:
            WebhookUrlRefused: not https (or http to a host for which that is allowed), over 2048 characters, with
                credentials, a fragment, backslashes or blanks, or an IP address that is not open.
        """
        target = _parse(url)
        if target.scheme == "http" and target.host not in self.http_hosts:
            raise WebhookUrlRefused("The address must begin with https://.")
        literal = _literal(target.host)
        if literal is not None and not self.is_open(literal):
            raise WebhookUrlRefused("The address must be a public one.")
        return target

    def is_open(self, address: Address) -> bool:
        """Whether messages may be sent there: to public addresses, and to those that this installation allows."""
        address = unmapped(address)
        if any(address in network for network in self.allowed_networks):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _CLOSED_IPV4)
        return address in _OPEN_IPV6 and not any(address in network for network in _CLOSED_IPV6)

    def all_open(self, addresses: Iterable[str]) -> tuple[Address, ...]:
        """What a name resolved to, or nothing if any of it is closed: an honest name has no closed address."""
        found = tuple(ip_address(text.partition("%")[0]) for text in addresses)
        return found if all(self.is_open(address) for address in found) else ()


def unmapped(address: Address) -> Address:
    """An IPv4 address in IPv6 clothes is what it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _parse(url: str) -> Target:
    if len(url) > URL_LENGTH_MAX or not _PRINTABLE.fullmatch(url) or "\\" in url or "#" in url:
        raise WebhookUrlRefused(
            f"An address has at most {URL_LENGTH_MAX} printable ASCII characters, no backslash and no fragment."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WebhookUrlRefused("The address cannot be read.") from None
    host = (parts.hostname or "").lower()
    if parts.scheme not in _PORTS or not host or port == 0:
        raise WebhookUrlRefused("The address must begin with https:// and a host.")
    if "@" in parts.netloc:
        raise WebhookUrlRefused("The address must not carry credentials.")
    is_named = _literal(host) is not None if parts.netloc.startswith("[") else _NAME.fullmatch(host)
    if not is_named:
        raise WebhookUrlRefused("The address must name a host, or an IP address.")
    path = parts.path or "/"
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], f"{path}?{parts.query}" if parts.query else path)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None

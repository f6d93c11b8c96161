"""From which network a request comes: the address that the outermost of our own proxies saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from pydantic import Field

from billing.kit.errors import SettingsError
from billing.kit.settings import SettingsGroup

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_IPV6_PREFIX = 64
"""What one customer of a provider gets: whoever has one address there has all of them."""

UNKNOWN_NETWORK = "unknown"
"""Where requests come from whose address cannot be told; all of them count together."""


class ProxySettings(SettingsGroup):
    """What stands between the internet and this process."""

    trusted_proxy_hops: int = Field(
        alias="BILLING_TRUSTED_PROXY_HOPS",
        default=0,
        ge=0,
        le=10,
        description="How many proxies of our own a request passes; each appends the address it saw to X-Forwarded-For.",
    )
    proxy_networks: str = Field(
        alias="BILLING_TRUSTED_PROXIES",
        default="",
        description="Instead of their number: the addresses or ranges of our own proxies, comma separated.",
    )

    def trusted_proxies(self) -> TrustedProxies:
        """Our own proxies, by their number or by their addresses.

        Raises:
            SettingsError: both are given, or an address cannot be read.
        """
        networks = parse_networks(self.proxy_networks, setting="BILLING_TRUSTED_PROXIES")
        if networks and self.trusted_proxy_hops:
            raise SettingsError(("Set BILLING_TRUSTED_PROXY_HOPS or BILLING_TRUSTED_PROXIES, not both.",))
        return TrustedProxies(self.trusted_proxy_hops, networks)


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Our own proxies: every request passes so many, or each that has its address in one of these networks is ours."""

    hops: int
    networks: tuple[Network, ...] = ()

    def address_of(self, *, peer: str | None, forwarded_for: Sequence[str]) -> Address | None:
        """The address that the outermost of our own proxies saw: the right-most hop that is not one of ours.

        `peer` is the address at the other end of the connection, `forwarded_for` the values of all X-Forwarded-For
        headers, in order. Everything to the left of the answer was written by strangers. None when the request passed
        fewer proxies than it must have, or the hop cannot be read. An IPv4 address in IPv6 clothes is taken as what it
        is.
        """
        is_behind_proxies = self.hops or self.networks
        hops = [hop.strip() for line in forwarded_for for hop in line.split(",")] if is_behind_proxies else []
        route = [*hops, peer or ""]
        if self.networks:
            return self._outermost_seen(route)
        if len(route) <= self.hops:
            return None
        return _parse_hop(route[-1 - self.hops])

    def _outermost_seen(self, route: Sequence[str]) -> Address | None:
        """Goes back along the route as long as it is ours; a request that one of our own began is its own."""
        address = None
        for hop in reversed(route):
            address = _parse_hop(hop)
            if address is None or not any(address in network for network in self.networks):
                break
        return address


def parse_networks(listed: str, *, setting: str) -> tuple[Network, ...]:
    """Addresses or ranges from the settings, comma separated.

    Raises:
        SettingsError: one cannot be read; the sentence names it.
    """
    networks: list[Network] = []
    problems: list[str] = []
    for text in filter(None, (part.strip() for part in listed.split(","))):
        try:
            networks.append(ip_network(text))
        except ValueError:
            problems.append(f"{setting}: {text[:64]!r} is not an address range.")
    if problems:
        raise SettingsError(tuple(problems))
    return tuple(networks)


def network_of(address: str, *, ipv4_prefix: int = 32) -> str:
    """The network that counts as one visitor: an IPv6 address's /64, an IPv4 address's network of this prefix.

    A single IPv4 address is written without its prefix; what is no address is `UNKNOWN_NETWORK`.
    """
    parsed = _parse_hop(address)
    if parsed is None:  # a Unix socket's peer has no address
        return UNKNOWN_NETWORK
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed), _IPV6_PREFIX), strict=False))
    if ipv4_prefix == parsed.max_prefixlen:
        return str(parsed)
    return str(IPv4Network((int(parsed), ipv4_prefix), strict=False))


def _parse_hop(text: str) -> Address | None:
    """One hop as proxies write it: an address, perhaps in brackets, perhaps with a port."""
    bare = text
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

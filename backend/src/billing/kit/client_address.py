"""From which network a request comes: the address that the outermost of our own proxies saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from pydantic import Field

from billing.kit.settings import SettingsGroup

Address = IPv4Address | IPv6Address

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


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """So many proxies of our own does every request pass."""

    hops: int

    def address_of(self, *, peer: str | None, forwarded_for: Sequence[str]) -> Address | None:
        """The address that the outermost of our own proxies saw: the right-most hop that is not one of ours.

        `peer` is the address at the other end of the connection, `forwarded_for` the values of all X-Forwarded-For
        headers, in order. Everything to the left of the answer was written by strangers. None when the request passed
        fewer proxies than it must have, or the hop cannot be read. An IPv4 address in IPv6 clothes is taken as what it
        is.
        """
        hops = [hop.strip() for line in forwarded_for for hop in line.split(",")] if self.hops else []
        route = [*hops, peer or ""]
        if len(route) <= self.hops:
            return None
        return _parse_hop(route[-1 - self.hops])


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

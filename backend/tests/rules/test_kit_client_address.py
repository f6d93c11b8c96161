"""The network that a request comes from is what our own outermost proxy saw, never what a stranger claims."""

from __future__ import annotations

import pytest

from billing.kit.client_address import UNKNOWN_NETWORK, TrustedProxies, network_of, parse_networks


class TestTheAddress:
    @pytest.mark.parametrize(
        ("hops", "peer", "forwarded_for", "address"),
        [
            (0, "203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
            (1, "10.0.0.2", ["203.0.113.9"], "203.0.113.9"),
            (1, "10.0.0.2", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            (1, "10.0.0.2", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
            (2, "10.0.0.2", ["203.0.113.9, 10.0.0.1"], "203.0.113.9"),
            (1, "10.0.0.2", ["203.0.113.9:4711"], "203.0.113.9"),
            (1, "10.0.0.2", ["[2001:db8::7]:443"], "2001:db8::7"),
            (0, "::ffff:203.0.113.9", [], "203.0.113.9"),
        ],
    )
    def test_is_that_of_the_last_hop_that_is_not_ours(
        self, hops: int, peer: str, forwarded_for: list[str], address: str
    ) -> None:
        assert str(TrustedProxies(hops).address_of(peer=peer, forwarded_for=forwarded_for)) == address

    @pytest.mark.parametrize(
        ("hops", "peer", "forwarded_for"),
        [(1, "203.0.113.9", []), (2, "10.0.0.2", ["203.0.113.9"]), (1, "10.0.0.2", ["nonsense"]), (0, None, [])],
        ids=["past our proxy", "past one of two", "nonsense", "a socket"],
    )
    def test_cannot_be_told_where_a_hop_is_missing(self, hops: int, peer: str | None, forwarded_for: list[str]) -> None:
        assert TrustedProxies(hops).address_of(peer=peer, forwarded_for=forwarded_for) is None


class TestTheAddressBehindKnownProxies:
    PROXIES = TrustedProxies(0, parse_networks("10.0.0.0/8, 2001:db8:9::/48", setting="X"))

    @pytest.mark.parametrize(
        ("peer", "forwarded_for", "address"),
        [
            ("10.0.0.2", ["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.2", ["203.0.113.9, 10.0.0.1"], "203.0.113.9"),
            ("10.0.0.2", ["198.51.100.1", "203.0.113.9", "10.0.0.1:80"], "203.0.113.9"),
            ("::ffff:10.0.0.2", ["203.0.113.9, [2001:db8:9::1]:443"], "203.0.113.9"),
            ("10.0.0.2", ["10.0.0.7"], "10.0.0.7"),
            ("10.0.0.2", [], "10.0.0.2"),
        ],
        ids=["one", "two", "forged hops before it", "in any clothes", "one of ours began it", "a proxy itself"],
    )
    def test_is_that_of_the_right_most_hop_that_is_not_ours(
        self, peer: str, forwarded_for: list[str], address: str
    ) -> None:
        assert str(self.PROXIES.address_of(peer=peer, forwarded_for=forwarded_for)) == address

    def test_is_the_strangers_own_where_the_request_went_past_our_proxies(self) -> None:
        assert str(self.PROXIES.address_of(peer="203.0.113.9", forwarded_for=["198.51.100.1"])) == "203.0.113.9"

    @pytest.mark.parametrize(
        ("peer", "forwarded_for"), [("10.0.0.2", ["203.0.113.9, "]), ("10.0.0.2", ["unknown"]), (None, ["10.0.0.2"])]
    )
    def test_cannot_be_told_where_a_hop_cannot_be_read(self, peer: str | None, forwarded_for: list[str]) -> None:
        assert self.PROXIES.address_of(peer=peer, forwarded_for=forwarded_for) is None


class TestTheNetwork:
    @pytest.mark.parametrize(
        ("address", "prefix", "network"),
        [
            ("203.0.113.9", 32, "203.0.113.9"),
            ("203.0.113.9", 24, "203.0.113.0/24"),
            ("::ffff:203.0.113.9", 24, "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", 24, "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::", 32, "2001:db8:1:2::/64"),
            ("::1", 32, "::/64"),
            ("testclient", 32, UNKNOWN_NETWORK),
            ("", 24, UNKNOWN_NETWORK),
        ],
    )
    def test_holds_all_addresses_of_one_visitor(self, address: str, prefix: int, network: str) -> None:
        assert network_of(address, ipv4_prefix=prefix) == network

"""The network that a request comes from is what our own outermost proxy saw, never what a stranger claims."""

from __future__ import annotations

import pytest

from billing.kit.client_address import UNKNOWN_NETWORK, TrustedProxies, network_of


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

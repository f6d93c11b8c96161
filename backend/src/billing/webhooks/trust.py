"""Who may bring notifications: decided from the token, and from the address that a request really comes from."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from billing.kit.client_address import Address, TrustedProxies
from billing.kit.errors import SettingsError
from billing.webhooks.errors import WebhookNotConfigured, WebhookSourceRefused, WebhookTokenInvalid

Network = IPv4Network | IPv6Network

TOKEN_HEADER = "X-Webhook-Token"  # noqa: S105 - the name of a header
TOKEN_PARAMETER = "token"  # noqa: S105 - the name of a query parameter

# Source: YooKassa's documentation of incoming notifications ("notification authentication", IP addresses).
YOOKASSA_SOURCES = (
    "185.71.76.0/27",
    "185.71.77.0/27",
    "77.75.153.0/25",
    "77.75.156.11",
    "77.75.156.35",
    "77.75.154.128/25",
    "2a02:5180::/32",
)


@dataclass(frozen=True, slots=True)
class Knock:
    """What a request shows at the door.

    The tokens are raw bytes, as they came. `peer` is the address at the other end of the connection; `forwarded_for`
    are the values of all `X-Forwarded-For` headers, in order.
    """

    header_token: bytes | None = field(repr=False)
    query_token: bytes | None = field(repr=False)
    peer: str | None
    forwarded_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """The checks of one provider's door; those that are on must all pass."""

    is_token_checked: bool
    token: bytes = field(repr=False)
    is_source_checked: bool
    networks: tuple[Network, ...]
    trusted_hops: int

    def admit(self, knock: Knock) -> None:
        """Lets a request pass that passes every check that is on.

        Raises:
            WebhookNotConfigured: the token is checked, and there is none.
            WebhookTokenInvalid: the header's token, or without one the query's, is not ours.
            WebhookSourceRefused: the address is not the provider's, or cannot be told.
        """
        if self.is_token_checked:
            self._admit_token(knock)
        if self.is_source_checked:
            source = source_of(knock, trusted_hops=self.trusted_hops)
            if source is None or not any(source in network for network in self.networks):
                raise WebhookSourceRefused

    def problems(self) -> tuple[str, ...]:
        """Why this door refuses every notification; empty when it does not."""
        if self.is_token_checked and not self.token:
            return ("The webhook's token is checked, and BILLING_WEBHOOK_YOOKASSA_TOKEN is not set.",)
        return ()

    def _admit_token(self, knock: Knock) -> None:
        if not self.token:
            raise WebhookNotConfigured
        given = knock.query_token if knock.header_token is None else knock.header_token
        if given is None or not hmac.compare_digest(given, self.token):
            raise WebhookTokenInvalid


def source_of(knock: Knock, *, trusted_hops: int) -> Address | None:
    """The address that the outermost of our own proxies saw, or None if it cannot be told."""
    return TrustedProxies(trusted_hops).address_of(peer=knock.peer, forwarded_for=knock.forwarded_for)


def parse_networks(texts: Sequence[str], *, setting: str) -> tuple[Network, ...]:
    """Address ranges from the settings.

    Raises:
        SettingsError: one cannot be read; the sentence names it.
    """
    networks: list[Network] = []
    problems: list[str] = []
    for text in texts:
        try:
            networks.append(ip_network(text))
        except ValueError:
            problems.append(f"{setting}: {text[:64]!r} is not an address range.")
    if problems:
        raise SettingsError(tuple(problems))
    return tuple(networks)

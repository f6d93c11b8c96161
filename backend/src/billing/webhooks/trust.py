"""Who may bring notifications: decided from the token, the address that a request really comes from, and the signature.

Source: docs/decisions/0020-trust-in-notifications.md: every check can be switched, all that are on must pass.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from billing.kit.client_address import Network, TrustedProxies
from billing.webhooks.errors import WebhookNotConfigured, WebhookSourceRefused, WebhookTokenInvalid
from billing.webhooks.rules import Provider
from billing.webhooks.signatures import check_signature

TOKEN_HEADER = "X-Webhook-Token"  # noqa: S105 - the name of a header
TOKEN_PARAMETER = "token"  # noqa: S105 - the name of a query parameter
SIGNATURE_HEADERS: Mapping[Provider, str] = {
    # YooKassa does not sign; a relay of our own between it and us may, in Stripe's scheme.
    Provider.YOOKASSA: "X-Webhook-Signature",
    Provider.STRIPE: "Stripe-Signature",
}

PUBLISHED_SOURCES: Mapping[Provider, str] = {
    # Source: YooKassa's documentation of incoming notifications ("notification authentication", IP addresses).
    Provider.YOOKASSA: (
        "185.71.76.0/27,185.71.77.0/27,77.75.153.0/25,77.75.156.11,77.75.156.35,77.75.154.128/25,2a02:5180::/32"
    ),
    # Source: Stripe's documentation of its domains and IP addresses ("webhook notifications").
    Provider.STRIPE: (
        "3.18.12.63,3.130.192.231,13.235.14.237,13.235.122.149,18.211.135.69,35.154.171.200,"
        "52.15.183.38,54.88.130.119,54.88.130.237,54.187.174.169,54.187.205.235,54.187.216.72"
    ),
}


@dataclass(frozen=True, slots=True)
class Knock:
    """What a request shows at the door.

    Tokens and signature are raw bytes, as they came. `peer` is the address at the other end of the connection;
    `forwarded_for` are the values of all `X-Forwarded-For` headers, in order.
    """

    header_token: bytes | None = field(repr=False)
    query_token: bytes | None = field(repr=False)
    signature: bytes | None = field(repr=False)
    peer: str | None
    forwarded_for: tuple[str, ...]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """The checks of one provider's door; those that are on must all pass."""

    provider: Provider
    is_token_checked: bool
    token: bytes = field(repr=False)
    is_source_checked: bool
    networks: tuple[Network, ...]
    is_signature_checked: bool
    signing_secrets: tuple[bytes, ...] = field(repr=False)
    proxies: TrustedProxies

    def admit(self, knock: Knock, *, now: datetime) -> None:
        """Lets a request pass that passes every check that is on: token, then source, then signature.

        Raises:
            WebhookNotConfigured: a check is on without its secret.
            WebhookTokenInvalid: the header's token, or without one the query's, is not ours.
            WebhookSourceRefused: the address is not the provider's, or cannot be told.
            WebhookSignatureInvalid, WebhookSignatureOutdated: the body was not signed with one of our secrets, or not
                within the last or next five minutes.
        """
        if self.problems():
            raise WebhookNotConfigured
        if self.is_token_checked:
            self._admit_token(knock)
        if self.is_source_checked:
            source = self.proxies.address_of(peer=knock.peer, forwarded_for=knock.forwarded_for)
            if source is None or not any(source in network for network in self.networks):
                raise WebhookSourceRefused
        if self.is_signature_checked:
            check_signature(knock.signature, knock.body, self.signing_secrets, now=now)

    def problems(self) -> tuple[str, ...]:
        """Why this door refuses every notification; empty when it does not."""
        prefix = f"BILLING_WEBHOOK_{self.provider.upper()}"
        problems = []
        if self.is_token_checked and not self.token:
            problems.append(f"{prefix}_TOKEN_CHECK is on, and {prefix}_TOKEN is not set.")
        if self.is_signature_checked and not self.signing_secrets:
            problems.append(f"{prefix}_SIGNATURE_CHECK is on, and {prefix}_SIGNING_SECRETS is not set.")
        return tuple(problems)

    def _admit_token(self, knock: Knock) -> None:
        given = knock.query_token if knock.header_token is None else knock.header_token
        if given is None or not hmac.compare_digest(given, self.token):
            raise WebhookTokenInvalid


@dataclass(frozen=True, slots=True)
class TrustPolicies:
    """The doors of every provider that we understand; `configured` are those who collect for us here."""

    doors: Mapping[Provider, TrustPolicy]
    configured: frozenset[Provider]

    def problems(self) -> tuple[str, ...]:
        """Why the doors that are in use refuse every notification; empty when they do not."""
        return tuple(problem for provider in sorted(self.configured) for problem in self.doors[provider].problems())

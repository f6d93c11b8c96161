"""What the settings say when they are read together, before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass

from billing.gateway.rules.routes import RouteTable
from billing.kit.client_address import TrustedProxies
from billing.kit.money import Currency, parse_currency
from billing.kit.public_address import PublicAddress, parse_public_address
from billing.payments.returning import ReturnRules
from billing.payments.rules import TopupOffer
from billing.payments.settings import PaymentSettings, ProviderKind
from billing.webhooks.outbound.addresses import AddressPolicy
from billing.webhooks.outbound.signing import SigningKeys
from billing.webhooks.rules import Provider
from billing.webhooks.trust import TrustPolicies
from billing.wiring.settings import Settings


@dataclass(frozen=True, slots=True)
class Terms:
    """What the settings say when they are read together."""

    currency: Currency
    offer: TopupOffer
    trusted_proxies: TrustedProxies
    trust_policies: TrustPolicies
    routes: RouteTable
    public_address: PublicAddress
    returns: ReturnRules
    outbound_policy: AddressPolicy
    signing_keys: SigningKeys


def terms_of(settings: Settings) -> Terms:
    """The settings, read together.

    Raises:
        SettingsError: one of them cannot be read, or they contradict each other.
    """
    currency = parse_currency(settings.wallets.currency)
    public_address = parse_public_address(settings.public_address.base_url)
    trusted_proxies = settings.proxies.trusted_proxies()
    return Terms(
        currency=currency,
        offer=settings.payments.offer(currency),
        trusted_proxies=trusted_proxies,
        trust_policies=settings.webhooks.policies(
            is_production=settings.deployment.is_production,
            configured=_collectors(settings.payments),
            proxies=trusted_proxies,
        ),
        routes=settings.gateway.read_routes(),
        public_address=public_address,
        returns=ReturnRules(public_address, settings.payments.allowed_origins()),
        outbound_policy=settings.outbound.address_policy(),
        signing_keys=settings.outbound.signing_keys(),
    )


def _collectors(settings: PaymentSettings) -> frozenset[Provider]:
    """Who collects here: nobody, or one of the providers; the simulator speaks YooKassa's protocol."""
    if settings.provider is ProviderKind.NONE:
        return frozenset()
    is_simulator = settings.provider is ProviderKind.SIMULATOR
    return frozenset({Provider.YOOKASSA if is_simulator else Provider(settings.provider.value)})

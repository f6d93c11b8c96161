"""Connects to the payment provider that the settings choose."""

from __future__ import annotations

from typing import Protocol

from billing.payments.adapters.stripe import StripeProvider
from billing.payments.adapters.yookassa import YookassaProvider
from billing.payments.ports import PaymentProvider
from billing.payments.settings import PaymentSettings, ProviderKind


class ConnectedProvider(PaymentProvider, Protocol):
    """A payment provider with connections, which whoever opened it closes."""

    async def aclose(self) -> None:
        """Closes the connections."""
        ...


def provider_of(settings: PaymentSettings) -> ConnectedProvider | None:
    """The payment provider; None in a deployment that takes no payments. Nothing is asked of it yet."""
    match settings.provider:
        case ProviderKind.NONE:
            return None
        case ProviderKind.STRIPE:
            return StripeProvider(
                account_id=settings.stripe_account_id,
                secret_key=settings.stripe_secret_key.get_secret_value(),
                api_url=settings.stripe_api_url,
                is_test=settings.is_test_shop,
            )
        case ProviderKind.YOOKASSA | ProviderKind.SIMULATOR:
            return YookassaProvider(
                shop_id=settings.yookassa_shop_id,
                secret_key=settings.yookassa_secret_key.get_secret_value(),
                api_url=settings.yookassa_api_url,
                is_test=settings.is_test_shop,
            )

"""Which provider a deployment's settings connect to."""

from __future__ import annotations

import pytest

from billing.kit.settings import read_group
from billing.payments.settings import PaymentSettings
from billing.wiring.providers import provider_of

STRIPE = {"STRIPE_ACCOUNT_ID": "acct_1", "STRIPE_SECRET_KEY": "sk_test_1"}
YOOKASSA = {"YOOKASSA_SHOP_ID": "100500", "YOOKASSA_SECRET_KEY": "live_1"}


class TestTheProvider:
    async def test_is_none_where_nothing_is_collected(self) -> None:
        assert provider_of(read_group(PaymentSettings, {})) is None

    @pytest.mark.parametrize(
        ("kind", "name", "shop_id", "is_test"),
        [
            ("stripe", "stripe", "acct_1", True),
            ("yookassa", "yookassa", "100500", False),
            ("simulator", "yookassa", "100500", True),
        ],
    )
    async def test_is_the_one_that_was_chosen_with_its_shop(
        self, kind: str, name: str, shop_id: str, *, is_test: bool
    ) -> None:
        settings = read_group(PaymentSettings, {"IDENTITY_PAYMENT_PROVIDER": kind, **STRIPE, **YOOKASSA})

        provider = provider_of(settings)

        assert provider is not None
        assert (provider.name, provider.shop_id, provider.is_test) == (name, shop_id, is_test)
        await provider.aclose()

"""The providers that are held to the contract, and what its tests ask of each of them."""

from __future__ import annotations

from collections.abc import Mapping

from backend.tests.builders.providers import Sandbox, SimulatedProvider, Start
from backend.tests.builders.stripe import stripe_sandbox, stripe_under_test
from backend.tests.builders.wallets import rub
from backend.tests.builders.yookassa import yookassa_sandbox, yookassa_under_test
from billing.kit.money import Money
from billing.payments.ports import PaymentOrder, ProviderPayment, RefundOrder

SIMULATED: Mapping[str, Start] = {"stripe": stripe_under_test, "yookassa": yookassa_under_test}
SANDBOXES: Mapping[str, Sandbox] = {"stripe sandbox": stripe_sandbox, "yookassa sandbox": yookassa_sandbox}


def order_of(payment_id: str) -> PaymentOrder:
    """What a top-up of 500 roubles asks of the provider."""
    return PaymentOrder(
        key=payment_id,
        amount=rub("500"),
        description=f"Top-up {payment_id}",
        return_url=f"https://shop.example/billing/topups/{payment_id}/return",
        payment_id=payment_id,
        account_id="acc_1",
        purpose="topup",
    )


async def paid(under_test: SimulatedProvider, order: PaymentOrder) -> ProviderPayment:
    """A payment whose customer has paid."""
    begun = await under_test.provider.create_payment(order)
    await under_test.backstage.pay(begun.id)
    return await under_test.provider.get_payment(begun.id)


def refund_of(payment: ProviderPayment, amount: Money, *, refund_id: str = "rfd_1") -> RefundOrder:
    """An order to give a part of it back."""
    return RefundOrder(
        key=f"{payment.payment_id}-{refund_id}",
        provider_payment_id=payment.id,
        amount=amount,
        refund_id=refund_id,
        description="Unused credit",
    )

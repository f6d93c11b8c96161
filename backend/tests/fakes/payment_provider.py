"""A payment provider whose calls end as the test says, for what no simulator can be made to do."""

from __future__ import annotations

from typing import NoReturn

from billing.payments.ports import PaymentOrder, PaymentProvider, ProviderEvent, ProviderPayment
from billing.payments.rules import ProviderPaymentId


class ProcessDiedError(BaseException):
    """Our process is killed here: nothing after this point happens."""


class EndingProvider:
    """Looks like another provider; each call that leaves us raises the given ending, before or after it took effect."""

    def __init__(self, behind: PaymentProvider, ending: BaseException, *, takes_effect: bool = False) -> None:
        self.name = behind.name
        self.shop_id = behind.shop_id
        self.is_test = behind.is_test
        self._behind = behind
        self._ending = ending
        self._takes_effect = takes_effect

    async def create_payment(self, order: PaymentOrder) -> ProviderPayment:
        """Ends, perhaps after the payment was begun."""
        if self._takes_effect:
            await self._behind.create_payment(order)
        self._end()

    async def get_payment(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """Ends."""
        del payment_id
        self._end()

    def parse_event(self, body: str) -> ProviderEvent:
        """What the provider behind reads in it."""
        return self._behind.parse_event(body)

    def _end(self) -> NoReturn:
        raise self._ending

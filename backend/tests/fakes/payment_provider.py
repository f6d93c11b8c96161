"""A payment provider whose calls end as the test says, for what no simulator can be made to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import NoReturn

from billing.kit.money import Money
from billing.payments.ports import (
    PaymentOrder,
    PaymentProvider,
    ProviderDispute,
    ProviderEvent,
    ProviderPayment,
    ProviderRefund,
    RefundOrder,
)
from billing.payments.rules import ProviderPaymentId, ProviderRefundId


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

    async def capture(self, payment_id: ProviderPaymentId, amount: Money, *, key: str) -> ProviderPayment:
        """Ends, perhaps after the money was taken."""
        if self._takes_effect:
            await self._behind.capture(payment_id, amount, key=key)
        self._end()

    async def cancel(self, payment_id: ProviderPaymentId, *, key: str) -> ProviderPayment:
        """Ends, perhaps after the payment was called off."""
        if self._takes_effect:
            await self._behind.cancel(payment_id, key=key)
        self._end()

    async def refund(self, order: RefundOrder) -> ProviderRefund:
        """Ends, perhaps after the money was given back."""
        if self._takes_effect:
            await self._behind.refund(order)
        self._end()

    async def get_refund(self, refund_id: ProviderRefundId) -> ProviderRefund:
        """Ends."""
        del refund_id
        self._end()

    async def refunds_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderRefund, ...]:
        """Ends."""
        del payment_id
        self._end()

    async def disputes_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderDispute, ...]:
        """Ends."""
        del payment_id
        self._end()

    def list_payments(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Ends before the first one."""
        del since, until
        self._end()

    def list_refunds(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderRefund]:
        """Ends before the first one."""
        del since, until
        self._end()

    def parse_event(self, body: str) -> ProviderEvent:
        """What the provider behind reads in it."""
        return self._behind.parse_event(body)

    def _end(self) -> NoReturn:
        raise self._ending

"""A payment provider that cannot show certain payments, for what no simulator can be made to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import datetime

from billing.kit.money import Money
from billing.payments.errors import ProviderFailure
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


class HidingProvider:
    """Looks like another provider; questions about the hidden payments end in the failure, and its lists do not.

    With `lists_max` it gives so many lists of payments, and then fails there too.
    """

    def __init__(
        self,
        behind: PaymentProvider,
        hidden: Collection[str],
        failure: ProviderFailure,
        *,
        lists_max: int | None = None,
    ) -> None:
        self.name = behind.name
        self.shop_id = behind.shop_id
        self.is_test = behind.is_test
        self._behind = behind
        self._hidden = hidden
        self._failure = failure
        self._lists_left = lists_max

    async def create_payment(self, order: PaymentOrder) -> ProviderPayment:
        """As the provider behind does."""
        return await self._behind.create_payment(order)

    async def get_payment(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """Fails for the hidden."""
        self._require_shown(payment_id)
        return await self._behind.get_payment(payment_id)

    async def capture(self, payment_id: ProviderPaymentId, amount: Money, *, key: str) -> ProviderPayment:
        """As the provider behind does."""
        return await self._behind.capture(payment_id, amount, key=key)

    async def cancel(self, payment_id: ProviderPaymentId, *, key: str) -> ProviderPayment:
        """As the provider behind does."""
        return await self._behind.cancel(payment_id, key=key)

    async def refund(self, order: RefundOrder) -> ProviderRefund:
        """As the provider behind does."""
        return await self._behind.refund(order)

    async def get_refund(self, refund_id: ProviderRefundId) -> ProviderRefund:
        """As the provider behind does."""
        return await self._behind.get_refund(refund_id)

    async def refunds_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderRefund, ...]:
        """Fails for the hidden."""
        self._require_shown(payment_id)
        return await self._behind.refunds_of(payment_id)

    async def disputes_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderDispute, ...]:
        """Fails for the hidden."""
        self._require_shown(payment_id)
        return await self._behind.disputes_of(payment_id)

    def list_payments(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Fails when it has given enough lists."""
        if self._lists_left is not None:
            if self._lists_left == 0:
                raise self._failure
            self._lists_left -= 1
        return self._behind.list_payments(since=since, until=until)

    def list_refunds(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderRefund]:
        """As the provider behind does."""
        return self._behind.list_refunds(since=since, until=until)

    def parse_event(self, body: str) -> ProviderEvent:
        """What the provider behind reads in it."""
        return self._behind.parse_event(body)

    def _require_shown(self, payment_id: ProviderPaymentId) -> None:
        if payment_id in self._hidden:
            raise self._failure

"""Forks children that do a script about a payment and are killed at one step: a commit, or a call to the provider."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from backend.tests.crash.boundaries import dying, obey
from backend.tests.crash.payments_house import connected, house_over
from backend.tests.crash.payments_scripts import SCRIPTS, Names
from backend.tests.fakes.clock import StoppedClock
from billing.kit.database import application_engine, parse_database_url
from billing.kit.money import Money
from billing.kit.unit_of_work import units_of_work
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

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """The step at which the process is killed: before it, or as soon as it is done; steps are counted from nought."""

    at: int
    is_after: bool
    steps: itertools.count[int]

    def here(self, number: int, *, is_after: bool) -> None:
        """Dies if it is time."""
        if (number, is_after) == (self.at, self.is_after):
            os.kill(os.getpid(), signal.SIGKILL)

    async def call(self, call: Coroutine[Any, Any, T]) -> T:
        """One call to the provider: it dies before anything has left us, or when the answer is there."""
        number = next(self.steps)
        self.here(number, is_after=False)
        answer = await call
        self.here(number, is_after=True)
        return answer


class LastCalls:
    """A provider each of whose calls is a step."""

    def __init__(self, behind: PaymentProvider, deadline: Deadline) -> None:
        self.name = behind.name
        self.shop_id = behind.shop_id
        self.is_test = behind.is_test
        self._behind = behind
        self._deadline = deadline

    async def create_payment(self, order: PaymentOrder) -> ProviderPayment:
        """Begins a payment."""
        return await self._deadline.call(self._behind.create_payment(order))

    async def get_payment(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """Asks about a payment."""
        return await self._deadline.call(self._behind.get_payment(payment_id))

    async def capture(self, payment_id: ProviderPaymentId, amount: Money, *, key: str) -> ProviderPayment:
        """Takes what is reserved."""
        return await self._deadline.call(self._behind.capture(payment_id, amount, key=key))

    async def cancel(self, payment_id: ProviderPaymentId, *, key: str) -> ProviderPayment:
        """Calls a payment off."""
        return await self._deadline.call(self._behind.cancel(payment_id, key=key))

    async def refund(self, order: RefundOrder) -> ProviderRefund:
        """Gives money back."""
        return await self._deadline.call(self._behind.refund(order))

    async def get_refund(self, refund_id: ProviderRefundId) -> ProviderRefund:
        """Asks about a refund."""
        return await self._deadline.call(self._behind.get_refund(refund_id))

    async def refunds_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderRefund, ...]:
        """Asks for refunds."""
        return await self._deadline.call(self._behind.refunds_of(payment_id))

    async def disputes_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderDispute, ...]:
        """Asks for disputes."""
        return await self._deadline.call(self._behind.disputes_of(payment_id))

    async def list_payments(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Lists payments, a step together."""
        for one in await self._deadline.call(_all(self._behind.list_payments(since=since, until=until))):
            yield one

    async def list_refunds(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderRefund]:
        """Lists refunds, a step together."""
        for one in await self._deadline.call(_all(self._behind.list_refunds(since=since, until=until))):
            yield one

    def parse_event(self, body: str) -> ProviderEvent:
        """Reads a notification."""
        return self._behind.parse_event(body)


async def live(order: dict[str, Any]) -> int:
    """Does the script and says how many steps it took."""
    url = parse_database_url(order["database_url"])
    engine = application_engine(url, connections_max=4)
    steps: itertools.count[int] = itertools.count()
    at, is_after = order["at"], order["is_after"]
    begin = dying(units_of_work(engine), at=at, is_after=is_after, commits=steps)
    async with connected(order["kind"], order["simulator_url"]) as provider:
        last_calls = LastCalls(provider, Deadline(at, is_after, steps))
        clock = StoppedClock(datetime.fromisoformat(order["now"]))
        house = house_over(engine, begin, url, clock, last_calls)
        await SCRIPTS[order["script"]](house, Names(**order["names"]))
    await engine.dispose()
    return next(steps)


async def _all(found: AsyncIterator[T]) -> list[T]:
    return [one async for one in found]


if __name__ == "__main__":
    obey(live)

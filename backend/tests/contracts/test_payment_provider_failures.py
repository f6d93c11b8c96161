"""How calls to any provider end badly: each change with each fault, and what there is when it is asked for again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from backend.tests.builders.every_provider import paid, refund_of
from backend.tests.builders.providers import SimulatedProvider
from backend.tests.builders.wallets import rub
from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderFailure,
    ProviderMalformed,
    ProviderRateLimited,
    ProviderUnavailable,
)
from billing.payments.ports import PaymentOrder, PaymentProvider, ProviderPayment, ProviderRefund
from billing.payments.rules import ProviderStatus, RefundStatus

Change = Callable[[PaymentProvider], Awaitable[ProviderPayment | ProviderRefund]]
Preparation = Callable[[SimulatedProvider, PaymentOrder], Awaitable[Change]]


@dataclass(frozen=True)
class Fault:
    """A way in which a change goes wrong, and what we may call it; None where an adapter may find out that it is well.

    A change is never reported as refused while it may have happened.
    """

    kind: str
    effect: str
    endings: frozenset[type[ProviderFailure] | None]

    def __str__(self) -> str:
        return f"{self.kind}-{self.effect}"

    def asked_through(self, under_test: SimulatedProvider) -> PaymentProvider:
        """An adapter that does not repeat; where nothing would come for long, one that does not wait either."""
        return under_test.impatient if self.kind in SILENCES else under_test.once


SILENCES = frozenset({"hang", "slow_drip"})
LOST = ("hang", "reset", "server_error", "bad_gateway_html", "gateway_timeout")
AMBIGUOUS = frozenset({ProviderAmbiguous})
FAULTS = (
    *(Fault(kind, effect, AMBIGUOUS) for kind, effect in itertools.product(LOST, ("none", "done"))),
    *(Fault(kind, "done", AMBIGUOUS) for kind in ("half_response", "slow_drip")),
    *(Fault(kind, "done", frozenset({ProviderMalformed})) for kind in ("malformed_json", "empty_body")),
    Fault("wrong_json", "done", frozenset({ProviderMalformed, None})),
    *(Fault("unavailable", effect, frozenset({ProviderUnavailable, ProviderAmbiguous})) for effect in ("none", "done")),
    Fault("rate_limited", "none", frozenset({ProviderRateLimited})),
)


async def creating(_: SimulatedProvider, order: PaymentOrder) -> Change:
    """Beginning a payment."""
    return lambda provider: provider.create_payment(order)


async def capturing(under_test: SimulatedProvider, order: PaymentOrder) -> Change:
    """Taking what is reserved."""
    payment_id = await under_test.backstage.reserved(order.amount)
    return lambda provider: provider.capture(payment_id, order.amount, key=f"{order.key}-take")


async def canceling(under_test: SimulatedProvider, order: PaymentOrder) -> Change:
    """Giving back what is reserved."""
    payment_id = await under_test.backstage.reserved(order.amount)
    return lambda provider: provider.cancel(payment_id, key=f"{order.key}-end")


async def refunding(under_test: SimulatedProvider, order: PaymentOrder) -> Change:
    """Giving back a part of what was paid."""
    payment = await paid(under_test, order)
    return lambda provider: provider.refund(refund_of(payment, rub("200")))


async def ending_of(call: Awaitable[object]) -> type[ProviderFailure] | None:
    """How a call failed; None where it went well."""
    try:
        await call
    except ProviderFailure as failure:
        return type(failure)
    return None


CHANGES: dict[str, tuple[Preparation, ProviderStatus | RefundStatus]] = {
    "create_payment": (creating, ProviderStatus.PENDING),
    "capture": (capturing, ProviderStatus.SUCCEEDED),
    "cancel_reserved": (canceling, ProviderStatus.CANCELED),
    "refund": (refunding, RefundStatus.SUCCEEDED),
}


class TestAChangeThatGoesWrong:
    @pytest.mark.parametrize("operation", CHANGES)
    @pytest.mark.parametrize("fault", FAULTS, ids=str)
    async def test_has_its_name_and_happens_once_when_asked_for_again(
        self, under_test: SimulatedProvider, order: PaymentOrder, operation: str, fault: Fault
    ) -> None:
        prepare, status = CHANGES[operation]
        change = await prepare(under_test, order)
        await under_test.backstage.go_wrong(fault.kind, operation, effect=fault.effect, seconds=2)

        ending = await ending_of(change(fault.asked_through(under_test)))

        first, second = await change(under_test.provider), await change(under_test.provider)
        assert ending in fault.endings
        assert first == second
        assert first.status is status
        assert await under_test.backstage.payments_count() == 1
        assert await under_test.backstage.refunds_count() == (1 if operation == "refund" else 0)

    @pytest.mark.parametrize("operation", CHANGES)
    async def test_is_overcome_within_the_call_when_it_passes(
        self, under_test: SimulatedProvider, order: PaymentOrder, operation: str
    ) -> None:
        prepare, status = CHANGES[operation]
        change = await prepare(under_test, order)
        await under_test.backstage.go_wrong("reset", operation, effect="done")
        await under_test.backstage.go_wrong("bad_gateway_html", operation)

        done = await change(under_test.provider)

        assert done.status is status
        assert await under_test.backstage.payments_count() == 1

    @pytest.mark.parametrize("kind", ["reset", "server_error", "bad_gateway_html", "unavailable", "malformed_json"])
    async def test_twice_is_overcome_too(self, under_test: SimulatedProvider, order: PaymentOrder, kind: str) -> None:
        await under_test.backstage.go_wrong(kind, "create_payment", times=2)

        begun = await under_test.provider.create_payment(order)

        assert begun.status is ProviderStatus.PENDING
        assert await under_test.backstage.payments_count() == 1


class TestAQuestionThatGoesWrong:
    @pytest.mark.parametrize(
        ("kind", "failure"),
        [
            ("hang", ProviderUnavailable),
            ("reset", ProviderUnavailable),
            ("half_response", ProviderUnavailable),
            ("slow_drip", ProviderUnavailable),
            ("server_error", ProviderUnavailable),
            ("bad_gateway_html", ProviderUnavailable),
            ("unavailable", ProviderUnavailable),
            ("gateway_timeout", ProviderUnavailable),
            ("rate_limited", ProviderRateLimited),
            ("malformed_json", ProviderMalformed),
            ("empty_body", ProviderMalformed),
            ("wrong_json", ProviderMalformed),
        ],
    )
    async def test_has_its_name(
        self, under_test: SimulatedProvider, order: PaymentOrder, kind: str, failure: type[ProviderFailure]
    ) -> None:
        begun = await under_test.provider.create_payment(order)
        await under_test.backstage.go_wrong(kind, "get_payment", seconds=2)

        with pytest.raises(failure):
            await (under_test.impatient if kind in SILENCES else under_test.once).get_payment(begun.id)

        assert (await under_test.provider.get_payment(begun.id)).id == begun.id


class TestPatience:
    async def test_an_answer_that_comes_drop_by_drop_has_no_more_time_than_another(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        await under_test.backstage.go_wrong("slow_drip", "create_payment", seconds=30)
        asked_at = asyncio.get_running_loop().time()

        with pytest.raises(ProviderAmbiguous):
            await under_test.impatient.create_payment(order)

        assert asyncio.get_running_loop().time() - asked_at < 2

    async def test_too_many_calls_says_how_long_to_wait(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        await under_test.backstage.go_wrong("rate_limited", "create_payment", retry_after_seconds=60)

        with pytest.raises(ProviderRateLimited) as refused:
            await under_test.once.create_payment(order)

        assert refused.value.retry_after_seconds == 60

    async def test_a_provider_that_is_down_is_left_alone(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        begun = await under_test.provider.create_payment(order)
        await under_test.backstage.go_wrong("unavailable", "get_payment", times=5)
        for _ in range(5):
            with pytest.raises(ProviderUnavailable):
                await under_test.once.get_payment(begun.id)

        with pytest.raises(ProviderUnavailable) as refused:
            await under_test.once.get_payment(begun.id)

        assert 1 <= (refused.value.retry_after_seconds or 0) <= 20
        assert len(await under_test.backstage.calls("get_payment")) == 5

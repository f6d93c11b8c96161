"""The simulated YooKassa on loopback, and what its customers and its network do."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from backend.tests.builders.providers import (
    QUICK,
    Ability,
    Opening,
    ProviderUnderTest,
    Sandbox,
    SimulatedProvider,
    simulated_provider,
)
from billing.kit.money import Money
from billing.payments.adapters.calls import Budget
from billing.payments.adapters.yookassa import YookassaProvider
from billing.payments.rules import ProviderMethodId, ProviderPaymentId, ProviderRefundId
from billing.payments.settings import YOOKASSA_API_URL
from testkit.loopback import NO_REUSE, NO_TLS
from testkit.simulators.server import running
from testkit.simulators.yookassa import YookassaSettings, create_yookassa

SHOP_ID = "100500"
SECRET_KEY = "test_simulated_secret"
SANDBOX_SHOP_ID = "BILLING_SANDBOX_YOOKASSA_SHOP_ID"
SANDBOX_SECRET_KEY = "BILLING_SANDBOX_YOOKASSA_SECRET_KEY"
_SEEDS = itertools.count(1)  # two simulators of one run must not give out the same ids


@dataclass(frozen=True, slots=True)
class SimulatedYookassa:
    """A running simulator, seen from its control side."""

    url: str
    control: httpx.AsyncClient
    payments_before: int = 0
    """How many payments there were when this test began; they are somebody else's."""
    refunds_before: int = 0

    async def fresh(self) -> SimulatedYookassa:
        """The same simulator for the next test: without faults, calls and earlier payments.

        It is not reset, because after that it would give out the same ids again.
        """
        for part in ("faults", "calls"):
            (await self.control.delete(part)).raise_for_status()
        for part, mode in (("refunds", "succeed"), ("receipts", "succeed"), ("notifications", "deliver")):
            await self._put(f"{part}/mode", {"mode": mode})
        state = (await self.control.get("state")).json()
        return replace(self, payments_before=len(state["payments"]), refunds_before=len(state["refunds"]))

    @property
    def api_url(self) -> str:
        """Where its API v3 is."""
        return f"{self.url}/v3"

    def provider(self, budget: Budget = QUICK, *, secret_key: str = SECRET_KEY) -> YookassaProvider:
        """Our adapter, connected to this simulator."""
        return YookassaProvider(
            shop_id=SHOP_ID,
            secret_key=secret_key,
            api_url=self.api_url,
            is_test=True,
            budget=budget,
            chance=lambda: 0.5,
        )

    async def pay(self, provider_payment_id: str) -> None:
        """The customer pays."""
        await self._post(f"payments/{provider_payment_id}/pay")

    async def decline(self, provider_payment_id: str) -> None:
        """The customer's bank refuses."""
        await self._post(f"payments/{provider_payment_id}/decline")

    async def expire(self, provider_payment_id: str) -> None:
        """The hour for paying is over."""
        await self._post(f"payments/{provider_payment_id}/expire")

    async def plan(self, kind: str, operation: str, **more: Any) -> None:
        """The next call of this operation goes wrong this way."""
        await self._post("faults", {"kind": kind, "operation": operation, **more})

    async def payments(self) -> list[dict[str, Any]]:
        """This test's payments, oldest first, as the API shows them."""
        state = (await self.control.get("state")).json()
        payments: list[dict[str, Any]] = state["payments"][self.payments_before :]
        return payments

    async def refunds(self) -> list[dict[str, Any]]:
        """This test's refunds, oldest first, as the API shows them."""
        state = (await self.control.get("state")).json()
        refunds: list[dict[str, Any]] = state["refunds"][self.refunds_before :]
        return refunds

    async def refund_in_cabinet(self, provider_payment_id: str, amount: Money | None = None) -> None:
        """Somebody refunds at the provider; without an amount, all that is left."""
        asked = None if amount is None else {"value": amount.to_decimal(), "currency": amount.currency}
        await self._post("refunds", {"payment_id": provider_payment_id, "amount": asked})

    async def hold_refunds(self) -> None:
        """Refunds stay pending from now on, until the next test."""
        await self._put("refunds/mode", {"mode": "wait"})

    async def let_refunds_through(self) -> None:
        """Refunds succeed at once again."""
        await self._put("refunds/mode", {"mode": "succeed"})

    async def let_receipts(self, mode: str) -> None:
        """Receipts of money that moves `succeed`, `wait` or `cancel` from now on, until the next test."""
        await self._put("receipts/mode", {"mode": mode})

    async def end_receipts(self, *, is_good: bool) -> None:
        """Every receipt that waits is registered or refused."""
        state = (await self.control.get("state")).json()
        for receipt in state["receipts"]:
            if receipt["status"] == "pending":
                await self._post(f"receipts/{receipt['id']}/{'succeed' if is_good else 'cancel'}")

    async def end_refund(self, provider_refund_id: str, *, is_good: bool) -> None:
        """A pending refund succeeds or is cancelled."""
        await self._post(f"refunds/{provider_refund_id}/{'succeed' if is_good else 'cancel'}")

    async def refuse_method(self, method_id: str) -> None:
        """The bank refuses every charge of this saved method from now on."""
        await self._post(f"payment_methods/{method_id}/refuse")

    async def only_payment_id(self) -> str:
        """The provider's id of the one payment that there is."""
        (payment,) = await self.payments()
        return str(payment["id"])

    async def calls(self, operation: str) -> list[dict[str, Any]]:
        """The calls of one operation, oldest first."""
        answer = await self.control.get("calls", params={"operation": operation})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def notification(self, event: str = "payment.succeeded") -> bytes:
        """The body of the newest notification of this event."""
        items = (await self.control.get("notifications")).json()["items"]
        return httpx.Request("POST", self.url, json=[i for i in items if i["event"] == event][-1]["body"]).content

    async def _post(self, path: str, body: Any = None) -> None:
        (await self.control.post(path, json=body)).raise_for_status()

    async def _put(self, path: str, body: Any) -> None:
        (await self.control.put(path, json=body)).raise_for_status()


@asynccontextmanager
async def simulated_yookassa(*, demands_receipts: bool = False) -> AsyncIterator[SimulatedYookassa]:
    """A simulator of its own on a free port."""
    app = create_yookassa(
        YookassaSettings(shop_id=SHOP_ID, secret_key=SECRET_KEY, seed=next(_SEEDS), demands_receipts=demands_receipts)
    )
    with running(app) as server:
        async with httpx.AsyncClient(
            verify=NO_TLS, base_url=f"{server.url}/control/", limits=NO_REUSE, trust_env=False
        ) as control:
            yield SimulatedYookassa(server.url, control)


_UNKNOWN_PAYMENT = ProviderPaymentId("22e12f66-000f-5000-8000-18db351245c7")
_UNKNOWN_REFUND = ProviderRefundId("22e12f66-0015-5000-8000-18db351245c7")
_OPERATIONS = {
    "cancel": "cancel_payment",
    "cancel_reserved": "cancel_payment",
    "capture": "capture_payment",
    "refund": "create_refund",
    "refunds_of": "list_refunds",
}
"""What the simulator calls the port's operations, where its name is another."""


@dataclass(frozen=True, slots=True)
class YookassaBackstage:
    """The contract suite's view of this simulator."""

    simulator: SimulatedYookassa

    async def pay(self, payment_id: ProviderPaymentId) -> None:
        """The customer pays."""
        await self.simulator.pay(payment_id)

    async def decline(self, payment_id: ProviderPaymentId) -> None:
        """The customer's bank refuses."""
        await self.simulator.decline(payment_id)

    async def expire(self, payment_id: ProviderPaymentId) -> None:
        """The hour for paying is over."""
        await self.simulator.expire(payment_id)

    async def reserved(self, amount: Money, **metadata: str) -> ProviderPaymentId:
        """A payment of two stages, begun and paid."""
        asked = {
            "metadata": metadata,
            "amount": {"value": amount.to_decimal(), "currency": amount.currency},
            "confirmation": {"type": "redirect", "return_url": "https://shop.example/back"},
            "capture": False,
        }
        async with httpx.AsyncClient(verify=NO_TLS, auth=(SHOP_ID, SECRET_KEY), trust_env=False) as shop:
            earlier = (await self.simulator.control.get("state")).json()["payments"]
            headers = {"Idempotence-Key": f"reserved-{len(earlier)}"}
            answer = await shop.post(f"{self.simulator.api_url}/payments", json=asked, headers=headers)
        payment_id = ProviderPaymentId(answer.json()["id"])
        await self.simulator.pay(payment_id)
        return payment_id

    async def refund_in_cabinet(self, payment_id: ProviderPaymentId, amount: Money) -> None:
        """Somebody refunds at the provider."""
        await self.simulator.refund_in_cabinet(payment_id, amount)

    async def hold_refunds(self) -> None:
        """Refunds stay pending."""
        await self.simulator.hold_refunds()

    async def let_refunds_through(self) -> None:
        """Refunds succeed at once again."""
        await self.simulator.let_refunds_through()

    async def end_refund(self, refund_id: ProviderRefundId, *, is_good: bool) -> None:
        """A pending refund ends."""
        await self.simulator.end_refund(refund_id, is_good=is_good)

    async def refuse_method(self, method_id: ProviderMethodId) -> None:
        """The bank refuses every charge of it."""
        await self.simulator.refuse_method(method_id)

    async def open_dispute(self, payment_id: ProviderPaymentId) -> None:
        """There are none here."""
        raise AssertionError(f"YooKassa knows no dispute about {payment_id}")

    async def close_dispute(self, payment_id: ProviderPaymentId, *, is_won: bool) -> None:
        """There are none here."""
        raise AssertionError(f"YooKassa knows no dispute about {payment_id} that could be won: {is_won}")

    async def go_wrong(self, kind: str, operation: str, **more: Any) -> None:
        """The next call of this operation goes wrong."""
        await self.simulator.plan(kind, _OPERATIONS.get(operation, operation), **more)

    async def calls(self, operation: str) -> list[dict[str, Any]]:
        """The calls of one operation."""
        return await self.simulator.calls(_OPERATIONS.get(operation, operation))

    async def payments_count(self) -> int:
        """How many payments this test has begun."""
        return len(await self.simulator.payments())

    async def refunds_count(self) -> int:
        """How many refunds this test has begun."""
        return len(await self.simulator.refunds())

    async def events(self, payment_id: ProviderPaymentId) -> list[str]:
        """The notifications about this payment and its refunds."""
        items = (await self.simulator.control.get("notifications")).json()["items"]
        bodies = [item["body"] for item in items]
        return [
            json.dumps(body)
            for body in bodies
            if payment_id in {body["object"].get("id"), body["object"].get("payment_id")}
        ]


@asynccontextmanager
async def yookassa_under_test() -> AsyncIterator[Opening]:
    """A simulator of its own for the contract suite."""
    async with simulated_yookassa() as simulator:

        @asynccontextmanager
        async def opening() -> AsyncIterator[SimulatedProvider]:
            yookassa = await simulator.fresh()
            async with simulated_provider(
                yookassa.provider,
                YookassaBackstage(yookassa),
                abilities=frozenset({Ability.RECEIPTS}),
                unknown_payment=_UNKNOWN_PAYMENT,
                unknown_refund=_UNKNOWN_REFUND,
            ) as under_test:
                yield under_test

        yield opening


@asynccontextmanager
async def _in_the_sandbox(environ: Mapping[str, str]) -> AsyncIterator[ProviderUnderTest]:
    provider = YookassaProvider(
        shop_id=environ[SANDBOX_SHOP_ID],
        secret_key=environ[SANDBOX_SECRET_KEY],
        api_url=YOOKASSA_API_URL,
        is_test=True,
    )
    try:
        yield ProviderUnderTest(
            provider=provider,
            once=provider,
            impatient=provider,
            abilities=frozenset({Ability.RECEIPTS}),
            unknown_payment=_UNKNOWN_PAYMENT,
            unknown_refund=_UNKNOWN_REFUND,
            salt=secrets.token_hex(6),  # the real provider remembers the keys of earlier runs
        )
    finally:
        await provider.aclose()


yookassa_sandbox = Sandbox((SANDBOX_SHOP_ID, SANDBOX_SECRET_KEY), _in_the_sandbox)
"""YooKassa's own test shop."""

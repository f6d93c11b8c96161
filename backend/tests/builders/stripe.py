"""The simulated Stripe on loopback, and what its customers, their banks and its network do."""

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
    IMPATIENT,
    QUICK,
    Ability,
    Opening,
    ProviderUnderTest,
    Sandbox,
    SimulatedProvider,
    simulated_provider,
)
from billing.kit.money import Currency, Money
from billing.payments.adapters.calls import Budget
from billing.payments.adapters.stripe import StripeProvider
from billing.payments.adapters.stripe_objects import as_minor_units
from billing.payments.ports import MethodRef, PaymentOrder, RefundOrder
from billing.payments.rules import ProviderMethodId, ProviderPaymentId, ProviderRefundId
from billing.payments.settings import STRIPE_API_URL
from testkit.loopback import NO_REUSE, NO_TLS
from testkit.simulators.server import running
from testkit.simulators.stripe import StripeSettings, create_stripe

ACCOUNT_ID = "acct_1Simulated"
SECRET_KEY = "sk_test_simulated"
WEBHOOK_SECRET = "whsec_simulated"
SANDBOX_ACCOUNT_ID = "BILLING_SANDBOX_STRIPE_ACCOUNT_ID"
SANDBOX_KEY = "BILLING_SANDBOX_STRIPE_KEY"
_ABILITIES = frozenset({Ability.CALLS_OFF_UNPAID, Ability.DISPUTES, Ability.REFUNDS_COME_BACK})
_UNKNOWN_PAYMENT = ProviderPaymentId("cs_test_nobodys")
_UNKNOWN_REFUND = ProviderRefundId("re_nobodys")
# The first use asks for the account too, so that a busy machine has twice as many occasions to be late.
HURRIED = replace(IMPATIENT, connect_seconds=0.6, total_seconds=0.6)
USD = Currency("USD")
RETURN_URL = "https://shop.example/chat/billing/topups/x/return"
_SEEDS = itertools.count(1)  # two simulators of one run must not give out the same ids


def usd(text: str) -> Money:
    """So many dollars."""
    return Money.from_decimal(text, USD)


def a_refund(payment_id: ProviderPaymentId) -> RefundOrder:
    """An order to give 200 dollars back."""
    return RefundOrder(
        key=f"refund-{payment_id}",
        provider_payment_id=payment_id,
        amount=usd("200"),
        refund_id="rfd_1",
        description="Unused credit",
    )


async def kept_method(provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder) -> MethodRef:
    """A method that a first payment left with the provider."""
    begun = await provider.create_payment(replace(order, key=f"{order.key}-first", saves_method=True))
    await backstage.pay(begun.id)
    method = (await provider.get_payment(begun.id)).method
    assert method is not None
    return MethodRef(method.id, customer=method.customer)


@dataclass(frozen=True, slots=True)
class SimulatedStripe:
    """A running simulator, seen from its control side; it is also the contract suite's backstage."""

    url: str
    control: httpx.AsyncClient
    before: frozenset[str] = frozenset()
    """The objects that there were when this test began; they are somebody else's."""

    async def fresh(self) -> SimulatedStripe:
        """The same simulator for the next test: without faults, calls and earlier objects.

        It is not reset, because after that it would give out the same ids again.
        """
        for part in ("faults", "calls"):
            (await self.control.delete(part)).raise_for_status()
        await self._put("refunds/mode", {"are_held": False})
        # Its moments are whole seconds: so this test's objects have none in common with those of the test before.
        await self.post("clock/advance", {"seconds": 1})
        state = (await self.control.get("state")).json()
        known = [item["id"] for kind in ("sessions", "intents", "refunds") for item in state[kind]]
        return replace(self, before=frozenset(known))

    def provider(self, budget: Budget = QUICK, *, secret_key: str = SECRET_KEY) -> StripeProvider:
        """Our adapter, connected to this simulator."""
        return StripeProvider(
            account_id=ACCOUNT_ID,
            secret_key=secret_key,
            api_url=self.url,
            is_test=True,
            budget=budget,
            chance=lambda: 0.5,
        )

    async def pay(self, payment_id: str) -> None:
        """The customer pays on the page of a session."""
        await self.act(payment_id, "pay")

    async def decline(self, payment_id: str) -> None:
        """The customer paid with something that takes days, and the bank refuses in the end; then it is over."""
        await self.act(payment_id, "process")
        await self.act(payment_id, "fail")

    async def expire(self, payment_id: str) -> None:
        """The day for paying is over."""
        await self.act(payment_id, "expire")

    async def act(self, session_id: str, step: str) -> None:
        """Anything that can happen to a session: pay, decline, challenge, expire, process, arrive, fail."""
        await self.post(f"sessions/{session_id}/{step}")

    async def reserved(self, amount: Money, **metadata: str) -> ProviderPaymentId:
        """A payment of two stages, begun and paid."""
        minor_units, currency = as_minor_units(amount), amount.currency.lower()
        asked = {"amount": minor_units, "currency": currency, "metadata": metadata}
        return ProviderPaymentId((await self.post("reservations", asked))["id"])

    async def refund_in_cabinet(self, payment_id: str, amount: Money) -> None:
        """Somebody refunds on the dashboard."""
        await self.post("refunds", {"of": await self.intent_of(payment_id), "amount": as_minor_units(amount)})

    async def hold_refunds(self) -> None:
        """Refunds stay pending from now on, until the next test."""
        await self._put("refunds/mode", {"are_held": True})

    async def let_refunds_through(self) -> None:
        """Refunds arrive at once again."""
        await self._put("refunds/mode", {"are_held": False})

    async def end_refund(self, refund_id: ProviderRefundId, *, is_good: bool) -> None:
        """A refund arrives, or comes back."""
        await self.post(f"refunds/{refund_id}/end", {"is_good": is_good})

    async def refuse_method(self, method_id: ProviderMethodId) -> None:
        """The bank refuses every charge of it."""
        await self.post(f"methods/{method_id}/refusal", {})

    async def open_dispute(self, payment_id: ProviderPaymentId) -> None:
        """The customer's bank wants all of it back."""
        await self.post("disputes", {"of": await self.intent_of(payment_id)})

    async def close_dispute(self, payment_id: ProviderPaymentId, *, is_won: bool) -> None:
        """The bank decides about the newest dispute."""
        intent_id = await self.intent_of(payment_id)
        found = [item for item in await self.state("disputes") if item["payment_intent"] == intent_id]
        await self.post(f"disputes/{found[-1]['id']}/close", {"is_won": is_won})

    async def go_wrong(self, kind: str, operation: str, **more: Any) -> None:
        """The next call of this operation goes wrong this way; operations by the port's names or the simulator's."""
        await self.post("faults", {"kind": kind, "operation": _OPERATIONS.get(operation, operation), **more})

    async def calls(self, operation: str) -> list[dict[str, Any]]:
        """The calls of one operation, oldest first."""
        answer = await self.control.get("calls", params={"operation": _OPERATIONS.get(operation, operation)})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def payments_count(self) -> int:
        """How many payments this test has begun: sessions, and intents that stand alone."""
        sessions = await self.state("sessions")
        behind = {session["payment_intent"] for session in sessions}
        intents = [intent for intent in await self.state("intents") if intent["id"] not in behind]
        return len([item for item in (*sessions, *intents) if item["id"] not in self.before])

    async def refunds_count(self) -> int:
        """How many refunds this test has begun."""
        return len([item for item in await self.state("refunds") if item["id"] not in self.before])

    async def events(self, payment_id: str) -> list[str]:
        """The events about this payment, its intent and its refunds."""
        names = {payment_id, await self.intent_of(payment_id)}
        items = (await self.control.get("notifications")).json()["items"]
        subjects = [(item["body"], item["body"]["data"]["object"]) for item in items]
        return [
            json.dumps(body) for body, subject in subjects if names & {subject["id"], subject.get("payment_intent")}
        ]

    async def state(self, kind: str) -> list[dict[str, Any]]:
        """Every object of one kind, oldest first, as the API shows them."""
        found: list[dict[str, Any]] = (await self.control.get("state")).json()[kind]
        return found

    async def intent_of(self, payment_id: str) -> str:
        """The intent behind a payment."""
        behind = {session["id"]: session["payment_intent"] for session in await self.state("sessions")}
        return str(behind.get(payment_id, payment_id))

    async def post(self, path: str, body: Any = None) -> Any:
        """Anything else that the control API can do."""
        answer = await self.control.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    async def _put(self, path: str, body: Any) -> None:
        (await self.control.put(path, json=body)).raise_for_status()


_OPERATIONS = {
    "cancel": "expire_session",
    "cancel_reserved": "cancel_intent",
    "capture": "capture_intent",
    "create_payment": "create_session",
    "get_payment": "get_session",
    "refund": "create_refund",
    "refunds_of": "list_refunds",
}
"""What the simulator calls the port's operations on a session, where its name is another."""


@asynccontextmanager
async def simulated_stripe() -> AsyncIterator[SimulatedStripe]:
    """A simulator of its own on a free port."""
    settings = StripeSettings(
        account_id=ACCOUNT_ID, secret_key=SECRET_KEY, webhook_secret=WEBHOOK_SECRET, seed=next(_SEEDS)
    )
    with running(create_stripe(settings)) as server:
        async with httpx.AsyncClient(
            verify=NO_TLS, base_url=f"{server.url}/control/", limits=NO_REUSE, trust_env=False
        ) as control:
            yield SimulatedStripe(server.url, control)


@asynccontextmanager
async def stripe_under_test() -> AsyncIterator[Opening]:
    """A simulator of its own for the contract suite."""
    async with simulated_stripe() as simulator:

        @asynccontextmanager
        async def opening() -> AsyncIterator[SimulatedProvider]:
            stripe = await simulator.fresh()
            async with simulated_provider(
                stripe.provider,
                stripe,
                abilities=_ABILITIES,
                unknown_payment=_UNKNOWN_PAYMENT,
                unknown_refund=_UNKNOWN_REFUND,
            ) as under_test:
                yield under_test

        yield opening


@asynccontextmanager
async def _in_the_sandbox(environ: Mapping[str, str]) -> AsyncIterator[ProviderUnderTest]:
    provider = StripeProvider(
        account_id=environ[SANDBOX_ACCOUNT_ID], secret_key=environ[SANDBOX_KEY], api_url=STRIPE_API_URL, is_test=True
    )
    try:
        yield ProviderUnderTest(
            provider=provider,
            once=provider,
            impatient=provider,
            abilities=_ABILITIES,
            unknown_payment=_UNKNOWN_PAYMENT,
            unknown_refund=_UNKNOWN_REFUND,
            salt=secrets.token_hex(6),  # the real provider remembers the keys of earlier runs
        )
    finally:
        await provider.aclose()


stripe_sandbox = Sandbox((SANDBOX_ACCOUNT_ID, SANDBOX_KEY), _in_the_sandbox)
"""A test account at Stripe itself."""

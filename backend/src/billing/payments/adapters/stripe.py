"""Stripe through its official SDK: an explicit client, our own connections, our own budget and repetitions.

Sources: Stripe's API reference (Checkout sessions, PaymentIntents, idempotent requests, errors, pagination). What it
answered to the first request of an `Idempotency-Key` it answers again for 24 hours, word for word, so that a repetition
is followed by a look at what has become of the payment since.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from math import ceil
from typing import Any, cast

import stripe

from billing.kit.money import Money
from billing.payments.adapters.breaker import CircuitBreaker
from billing.payments.adapters.calls import Budget, ProviderCalls
from billing.payments.adapters.lists import readable
from billing.payments.adapters.stripe_calls import Body, StripeCalls
from billing.payments.adapters.stripe_events import as_event
from billing.payments.adapters.stripe_http import StripeConnections
from billing.payments.adapters.stripe_objects import (
    INTENT_PREFIX,
    PAYMENT_OF_REFUND,
    SESSION_PREFIX,
    WAY,
    Named,
    Page,
    Way,
    as_dispute,
    as_minor_units,
    as_payment,
    as_refund,
    understood,
)
from billing.payments.adapters.stripe_orders import (
    INTENT_EXPANSION,
    SESSION_EXPANSION,
    as_intent,
    as_refund_order,
    as_session,
)
from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderFailure,
    ProviderObjectUnknown,
    ProviderRefusedUs,
    ProviderRejected,
)
from billing.payments.outages import CANNOT_BE_ASKED
from billing.payments.ports import (
    MethodRef,
    PaymentOrder,
    ProviderDispute,
    ProviderEvent,
    ProviderPayment,
    ProviderRefund,
    RefundOrder,
)
from billing.payments.rules import (
    Cancellation,
    DisputeStatus,
    ProviderPaymentId,
    ProviderRefundId,
    parse_provider_id,
    parse_provider_payment_id,
    parse_provider_refund_id,
)

API_VERSION = "2026-10-28.endive"
"""What the shapes in `stripe_objects` were written for; a newer SDK must not change it behind our back."""


class StripeProvider:
    """The payment provider Stripe, or whoever speaks its protocol at `api_url`; close it when done."""

    name = "stripe"

    def __init__(
        self,
        *,
        account_id: str,
        secret_key: str,
        api_url: str,
        is_test: bool,
        budget: Budget | None = None,
        breaker: CircuitBreaker | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.shop_id = account_id
        self.is_test = is_test
        # The SDK would keep a file in the home folder by which to tell installations apart. There is no other switch.
        stripe.enable_telemetry = False
        budget = budget or Budget()
        self._calls = StripeCalls(ProviderCalls(budget, breaker or CircuitBreaker(self.name), chance))
        self._connections = StripeConnections(budget)
        self._api = stripe.StripeClient(
            secret_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_url.rstrip("/")},
            max_network_retries=0,
            http_client=self._connections,
        ).v1
        self._account: str | None = None

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._connections.close_async()

    async def create_payment(self, order: PaymentOrder) -> ProviderPayment:
        """Begins a Checkout session, or charges a method that was kept; money is captured as soon as it is there."""
        shop_id = await self._own_shop()
        if order.method is not None:
            return await self._charge(order, order.method, shop_id)
        customer = await self._customer(order.account_id) if order.saves_method else None
        params = cast("Any", as_session(order, customer))
        body, is_repetition = await self._calls.change(
            lambda: self._api.checkout.sessions.create_async(params, _keyed(order.key))
        )
        begun = as_payment(body, shop_id=shop_id)
        return await self._read_back(begun.id) if is_repetition else begun

    async def get_payment(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """The payment as it is now; for an intent behind a Checkout session that session, whose id is the payment's."""
        payment_id = parse_provider_payment_id(payment_id)
        if payment_id.startswith(SESSION_PREFIX):
            return await self._payment(await self._session(payment_id))
        if not payment_id.startswith(INTENT_PREFIX):
            raise ProviderObjectUnknown("The payment provider has no payments of this kind.")
        body = await self._calls.ask(
            lambda: self._api.payment_intents.retrieve_async(payment_id, {"expand": [INTENT_EXPANSION]})
        )
        if _way_of(body) != Way.DIRECT:
            body = await self._session_of(payment_id) or body
        return await self._payment(body)

    async def capture(self, payment_id: ProviderPaymentId, amount: Money, *, key: str) -> ProviderPayment:
        """Takes what is reserved."""
        intent_id, minor_units = await self._intent_of(payment_id), as_minor_units(amount)
        await self._calls.change(
            lambda: self._api.payment_intents.capture_async(intent_id, {"amount_to_capture": minor_units}, _keyed(key))
        )
        return await self._read_back(payment_id)

    async def cancel(self, payment_id: ProviderPaymentId, *, key: str) -> ProviderPayment:
        """Ends a Checkout session that is still open, or gives back what is reserved."""
        if await self._is_open_session(payment_id):
            await self._calls.change(lambda: self._api.checkout.sessions.expire_async(payment_id, {}, _keyed(key)))
            # The session does not say by whom it was ended.
            return replace(await self._read_back(payment_id), cancellation=Cancellation.WITHDRAWN)
        intent_id = await self._intent_of(payment_id)
        await self._calls.change(
            lambda: self._api.payment_intents.cancel_async(
                intent_id, {"cancellation_reason": "requested_by_customer"}, _keyed(key)
            )
        )
        return await self._read_back(payment_id)

    async def refund(self, order: RefundOrder) -> ProviderRefund:
        """Gives money back."""
        payment_id = parse_provider_payment_id(order.provider_payment_id)
        params = cast("Any", as_refund_order(order, intent_id=await self._intent_of(payment_id)))
        body, is_repetition = await self._calls.change(
            lambda: self._api.refunds.create_async(params, _keyed(order.key))
        )
        begun = as_refund(body, payment_id=payment_id)
        if not is_repetition:
            return begun
        try:
            return await self.get_refund(begun.id)
        except ProviderFailure as failure:
            raise _uncertain() from failure

    async def get_refund(self, refund_id: ProviderRefundId) -> ProviderRefund:
        """The refund as it is now."""
        wanted = parse_provider_refund_id(refund_id)
        body = await self._calls.ask(lambda: self._api.refunds.retrieve_async(wanted))
        return await self._refund(body)

    async def refunds_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderRefund, ...]:
        """The payment's refunds."""
        found = self._items_of(payment_id, self._api.refunds.list_async)
        return tuple([as_refund(body, payment_id=payment_id) async for body in found])

    async def disputes_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderDispute, ...]:
        """The payment's disputes; an inquiry is none, for it moves no money."""
        found = self._items_of(payment_id, self._api.disputes.list_async)
        disputes = [as_dispute(body, payment_id=payment_id) async for body in found]
        return tuple(dispute for dispute in disputes if dispute is not None)

    async def list_payments(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """The account's payments of this time: its Checkout sessions, then the intents behind which there is none."""
        async for payment in readable(self._begun(_within(since, until)), self._payment_alone):
            if payment is not None:
                yield payment

    async def list_refunds(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderRefund]:
        """The account's refunds of this time, newest first."""
        found = self._calls.items(self._api.refunds.list_async, {"created": _within(since, until)})
        async for refund in readable(found, self._refund):
            yield refund

    def parse_event(self, body: str) -> ProviderEvent:
        """What an event claims."""
        return as_event(json.loads(body))

    async def _payment(self, body: Body) -> ProviderPayment:
        """A payment that was read; its charge stays marked as disputed by an inquiry, and by a dispute that was won."""
        payment = as_payment(body, shop_id=await self._shop())
        if not payment.is_disputed:
            return payment
        disputes = await self.disputes_of(payment.id)
        return replace(payment, is_disputed=any(one.status is not DisputeStatus.WON for one in disputes))

    async def _begun(self, created: dict[str, int]) -> AsyncIterator[Body]:
        """Sessions and intents of this time; whose they are is asked first, because it is not about any one of them."""
        await self._own_shop()
        sessions = {"created": created, "expand": [f"data.{SESSION_EXPANSION}"]}
        async for body in self._calls.items(self._api.checkout.sessions.list_async, sessions):
            yield body
        intents = {"created": created, "expand": [f"data.{INTENT_EXPANSION}"]}
        async for body in self._calls.items(self._api.payment_intents.list_async, intents):
            yield body

    async def _payment_alone(self, body: Body) -> ProviderPayment | None:
        """The payment; None where none takes place, and for the intent behind a session, which is a payment already."""
        named = understood(Named, body)
        if not (named.takes_money if named.is_session else await self._stands_alone(body)):
            return None
        try:
            return await self._payment(body)
        except CANNOT_BE_ASKED:
            # Disputes that cannot be listed leave what the charge says; whoever needs to know more reads this one.
            return as_payment(body, shop_id=self.shop_id)

    async def _refund(self, body: Body) -> ProviderRefund:
        return as_refund(body, payment_id=await self._payment_of(body))

    async def _shop(self) -> str:
        """The account that our key opens, asked once: its objects do not say whose they are."""
        if self._account is None:
            body = await self._calls.ask(self._api.accounts.retrieve_current_async)
            self._account = parse_provider_id(understood(Named, body).id)
        return self._account

    async def _own_shop(self) -> str:
        """The account, where it is the one that collects for us.

        Raises:
            ProviderRefusedUs: our key opens another; what that one has, or lacks, says nothing about our payments.
        """
        shop_id = await self._shop()
        if shop_id != self.shop_id:
            raise ProviderRefusedUs("The payment provider takes our key for another account's.")
        return shop_id

    async def _customer(self, account_id: str) -> str:
        """Whom a kept method belongs to; nothing that would tell a person goes there."""
        about: Any = {"metadata": {"account_id": account_id}}
        key = _keyed(f"customer-{account_id}")
        body, _ = await self._calls.change(lambda: self._api.customers.create_async(about, key))
        return parse_provider_id(understood(Named, body).id)

    async def _charge(self, order: PaymentOrder, method: MethodRef, shop_id: str) -> ProviderPayment:
        """Charges a kept method; a bank's refusal is a payment that has ended, not a failed call."""
        params = cast("Any", as_intent(order, method))
        body, is_to_be_read = await self._calls.charge(
            lambda: self._api.payment_intents.create_async(params, _keyed(order.key))
        )
        payment_id = parse_provider_payment_id(understood(Named, body).id)
        return await self._read_back(payment_id) if is_to_be_read else as_payment(body, shop_id=shop_id)

    async def _read_back(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """The payment after a change that was carried out; what cannot be read is not known, so ask again.

        Raises:
            ProviderAmbiguous: it could not be read.
        """
        try:
            return await self.get_payment(payment_id)
        except ProviderFailure as failure:
            raise _uncertain() from failure

    async def _is_open_session(self, payment_id: ProviderPaymentId) -> bool:
        if not parse_provider_payment_id(payment_id).startswith(SESSION_PREFIX):
            return False
        return understood(Named, await self._session(payment_id)).status == "open"

    async def _session(self, payment_id: str) -> Body:
        return await self._calls.ask(
            lambda: self._api.checkout.sessions.retrieve_async(payment_id, {"expand": [SESSION_EXPANSION]})
        )

    async def _session_of(self, intent_id: str) -> Body | None:
        """The Checkout session that an intent belongs to; None where it stands alone."""
        params: Any = {"payment_intent": intent_id, "limit": 1, "expand": [f"data.{SESSION_EXPANSION}"]}
        page = await self._calls.ask(lambda: self._api.checkout.sessions.list_async(params))
        return next(iter(understood(Page, page).data), None)

    async def _stands_alone(self, intent: Body) -> bool:
        way = _way_of(intent)
        if way is not None:
            return way == Way.DIRECT
        return await self._session_of(parse_provider_id(understood(Named, intent).id)) is None

    async def _intent_of(self, payment_id: ProviderPaymentId) -> str:
        """The intent behind a payment.

        Raises:
            ProviderRejected: nobody has begun to pay, so that there is none.
        """
        found = await self._begun_intent_of(payment_id)
        if found is None:
            raise ProviderRejected("Nobody has begun to pay this payment.")
        return found

    async def _begun_intent_of(self, payment_id: ProviderPaymentId) -> str | None:
        payment_id = parse_provider_payment_id(payment_id)
        if not payment_id.startswith(SESSION_PREFIX):
            return payment_id
        return understood(Named, await self._session(payment_id)).intent_id

    async def _payment_of(self, refund: Body) -> ProviderPaymentId:
        """A refund's payment as we call it: ours name it; others' intent leads to the session, if there is one."""
        named = understood(Named, refund)
        ours = named.metadata.get(PAYMENT_OF_REFUND)
        if ours is not None:
            return parse_provider_payment_id(ours)
        if named.intent_id is None:
            # Taken without an intent: never by us.
            return parse_provider_payment_id(refund.get("charge"))
        session = await self._session_of(named.intent_id)
        return parse_provider_payment_id(named.intent_id if session is None else session.get("id"))

    async def _items_of(
        self, payment_id: ProviderPaymentId, list_async: Callable[[Any], Awaitable[Any]]
    ) -> AsyncIterator[Body]:
        intent_id = await self._begun_intent_of(payment_id)
        if intent_id is not None:
            async for body in self._calls.items(list_async, {"payment_intent": intent_id}):
                yield body


def _uncertain() -> ProviderFailure:
    return ProviderAmbiguous("The payment provider acted; what has become of it could not be read.")


def _keyed(key: str) -> stripe.RequestOptions:
    return {"idempotency_key": key}


def _way_of(intent: Body) -> object:
    return understood(Named, intent).metadata.get(WAY)


def _within(since: datetime, until: datetime) -> dict[str, int]:
    """Moments there are whole seconds, so that both bounds go up to the next one."""
    return {"gte": ceil(since.timestamp()), "lt": ceil(until.timestamp())}

"""Each way a paid call can go, with what stands in the books, in the record of usage and in the answer afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from backend.tests.builders.gateway import (
    ALIAS,
    GIFT,
    NOT_FREE,
    UNPRICED,
    Gate,
    Provider,
    body_of,
    chat,
    free_terms,
    incoming,
)
from backend.tests.builders.limits import account_wallet, wanted
from backend.tests.builders.pricing import new_rate
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from billing.gateway.errors import ModelNotFound, UpstreamBroken
from billing.gateway.rules.doors import Door
from billing.kit.errors import BillingError
from billing.pricing.errors import PriceUnknown
from billing.pricing.rules import Unit
from billing.pricing.seed import DEMO_FREE
from billing.quotas.rules import FreeTerms
from billing.usage.rules import BillingSource, EstimateReason
from billing.wallets.alerts import EventKind
from billing.wallets.errors import InsufficientFunds, MaxReplyCostExceeded

pytestmark = pytest.mark.money

# Micros for one token, as the demonstration publishes them for a million.
SMALL_INPUT, SMALL_CACHED, SMALL_OUTPUT = 60, 15, 240
FREE_INPUT, FREE_OUTPUT = 30, 120
ASKED_TOKENS = 100
PAID = 100_000_000


def quote(body: Mapping[str, Any], *, input_price: int = SMALL_INPUT, output_price: int = SMALL_OUTPUT) -> int:
    """What a one-message request is let in with, in micros: its bytes, 8 for the message, 8 for the reply."""
    return (len(json.dumps(body).encode()) + 16) * input_price + ASKED_TOKENS * output_price


def price(usage: Mapping[str, Any]) -> int:
    """What the provider's own count costs, in micros."""
    return int(usage["prompt_tokens"] * SMALL_INPUT + usage["completion_tokens"] * SMALL_OUTPUT)


@dataclass(frozen=True)
class Uncharged:
    """A call that ends without a charge: what happens, and what the caller gets."""

    name: str
    gets: type[BillingError] | int
    fault: Mapping[str, Any] | None = None
    body: Mapping[str, Any] = field(default_factory=chat)
    paid: str = "100"
    max_reply_cost: str | None = None
    is_held: bool = True


def altered(**changes: Any) -> dict[str, Any]:
    """The provider's right answer, changed."""
    return {"kind": "altered", "changes": changes}


UNCHARGED = [
    Uncharged("insufficient funds", InsufficientFunds, paid="0.01", is_held=False),
    Uncharged("max reply cost exceeded", MaxReplyCostExceeded, max_reply_cost="0.01", is_held=False),
    Uncharged("model not served", ModelNotFound, body=chat(model="nobody-has-it"), is_held=False),
    Uncharged("model without a price", PriceUnknown, body=chat(model=UNPRICED), is_held=False),
    Uncharged("provider fails", 500, {"kind": "server_error"}),
    Uncharged("provider fails after its work", 500, {"kind": "server_error", "effect": "done"}),
    Uncharged("provider is overloaded", 503, {"kind": "unavailable"}),
    Uncharged("provider limits our rate", 429, {"kind": "rate_limited"}),
    Uncharged("a proxy answers with a page", 502, {"kind": "bad_gateway_html"}),
    Uncharged("a proxy's page says timeout", 504, {"kind": "gateway_timeout"}),
    Uncharged("provider refuses the request", 400, body=chat(n=1, messages=[{"role": "nobody"}])),
    Uncharged("connection is reset", UpstreamBroken, {"kind": "reset"}),
    Uncharged("half an answer", UpstreamBroken, {"kind": "half_response"}),
    Uncharged("JSON that stops", UpstreamBroken, {"kind": "malformed_json"}),
    Uncharged("an empty body", UpstreamBroken, {"kind": "empty_body"}),
    Uncharged("no choices", UpstreamBroken, altered(choices=None)),
    Uncharged("an empty list of choices", UpstreamBroken, altered(choices=[])),
    Uncharged("choices that are none", UpstreamBroken, altered(choices=["text"])),
]


class TestACallThatDeliversNothing:
    @pytest.mark.parametrize("case", UNCHARGED, ids=lambda case: case.name)
    async def test_charges_nothing_and_keeps_no_credit(self, case: Uncharged, gate: Gate, provider: Provider) -> None:
        payer = await gate.payer(case.paid)
        if case.fault is not None:
            await provider.will(**case.fault)

        got: object
        try:
            answer = await gate.ask(payer, case.body, max_reply_cost=case.max_reply_cost)
        except BillingError as refusal:
            got = type(refusal)
        else:
            got = answer.status
            assert (answer.charged, answer.balance) == (rub("0"), rub(case.paid))

        after = await gate.accounts(payer)
        held = quote(case.body) if case.is_held else 0
        paid = rub(case.paid).micros
        moved = {
            ("hold", "paid"): -held,
            ("hold", "held"): held,
            ("release", "held"): -held,
            ("release", "paid"): held,
        }
        assert got == case.gets
        assert after.entries == {("credit", "paid"): paid} | (moved if case.is_held else {})
        assert (after.balance.available, after.balance.held, after.balance.debt) == (rub(case.paid), rub("0"), rub("0"))
        assert (after.events, after.drifts) == ((), ())
        assert len(await provider.calls()) == (1 if case.is_held else 0)


class TestPayAsYouGo:
    async def test_a_call_is_charged_what_it_used_and_the_rest_of_its_hold_comes_back(
        self, gate: Gate, provider: Provider
    ) -> None:
        payer = await gate.payer("100")

        answer = await gate.ask(payer, chat())

        after = await gate.accounts(payer)
        held, charged = quote(chat()), price(body_of(answer)["usage"])
        assert (answer.status, answer.charged.micros, answer.billing_source) == (200, charged, BillingSource.PAYG)
        assert after.entries == {
            ("credit", "paid"): PAID,
            ("hold", "paid"): -held,
            ("hold", "held"): held,
            ("charge", "held"): -held,
            ("charge", "paid"): held - charged,
        }
        assert answer.balance == after.balance.available == rub("100") - answer.charged
        assert after.drifts == ()
        assert len(await provider.calls()) == 1

    async def test_a_charge_that_makes_the_balance_low_is_booked_and_told(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        owner, desk = payer.customer.principal, account_wallet(gate.wallets)
        await desk.set_limits(owner, wanted(low="100"), request_id="req_tests")

        answer = await gate.ask(payer, chat())

        after, told = await gate.accounts(payer), await desk.events_of(owner, cursor=None, limit=200)
        assert [event.kind for event in told.rows] == [EventKind.LOW_BALANCE]
        assert answer.balance == after.balance.available == rub("100") - answer.charged
        assert [event.operation_id for event in after.events] == [answer.operation_id]

    async def test_its_usage_event_says_everything_that_the_price_came_from(self, gate: Gate) -> None:
        payer = await gate.payer("100")

        answer = await gate.ask(payer, chat(model=ALIAS))

        (event,) = (await gate.accounts(payer)).events
        usage = body_of(answer)["usage"]
        assert event.operation_id == answer.operation_id
        assert (event.account_id, event.wallet_id) == (payer.customer.account.id, payer.wallet_id)
        assert (event.person_id, event.api_key_id) == (payer.principal.person_id, payer.principal.api_key_id)
        assert (event.model_asked, event.model_priced, event.model_used) == (ALIAS, "demo-small", "gpt-4o-mini")
        assert {unit: quantity for unit, quantity in event.quantities.items() if quantity} == {
            Unit.INPUT: usage["prompt_tokens"],
            Unit.OUTPUT: usage["completion_tokens"],
            Unit.REQUEST: 1,
        }
        assert (event.door, event.provider) == ("chat/completions", "simulated")
        assert (event.billing_source, event.raw_cost, event.charged) == (
            BillingSource.PAYG,
            answer.charged,
            answer.charged,
        )
        assert (event.is_estimated, event.discount_percent) == (False, 0)
        assert event.rates["model"] == "demo-small"

    async def test_an_alias_costs_what_its_model_costs(self, gate: Gate) -> None:
        payer = await gate.payer("100")

        by_name = await gate.ask(payer, chat())
        by_alias = await gate.ask(payer, chat(model=ALIAS))

        assert by_alias.charged == by_name.charged
        assert body_of(by_alias)["model"] == body_of(by_name)["model"] == "demo-small"

    async def test_a_request_id_of_the_client_makes_nothing_free(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        body = chat(request_id="mine", metadata={"request_id": "mine", "operation_id": "mine"})

        answers = [
            await gate.service.serve(payer.principal, Door.CHAT, incoming(body), correlation_id="mine")
            for _ in range(3)
        ]

        after = await gate.accounts(payer)
        assert len({answer.operation_id for answer in answers}) == 3
        assert after.charges == [after.events[0].charged] * 3
        assert {event.correlation_id for event in after.events} == {"mine"}
        assert after.drifts == ()

    async def test_tokens_from_the_cache_and_of_reasoning_are_priced_once(self, gate: Gate, provider: Provider) -> None:
        payer = await gate.payer("100")
        usage = {
            "prompt_tokens": 1000,
            "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 600},
            "completion_tokens_details": {"reasoning_tokens": 20},
        }
        await provider.will(**altered(usage=usage))

        answer = await gate.ask(payer, chat())

        (event,) = (await gate.accounts(payer)).events
        assert {unit: quantity for unit, quantity in event.quantities.items() if quantity} == {
            Unit.INPUT: 400,
            Unit.CACHED_INPUT: 600,
            Unit.OUTPUT: 30,
            Unit.REASONING: 20,
            Unit.REQUEST: 1,
        }
        assert answer.charged.micros == 400 * SMALL_INPUT + 600 * SMALL_CACHED + 50 * SMALL_OUTPUT

    async def test_an_empty_wallet_is_refused_and_after_a_top_up_the_same_call_succeeds(self, gate: Gate) -> None:
        payer = await gate.payer()
        with pytest.raises(InsufficientFunds):
            await gate.ask(payer, chat())

        await gate.wallets.pay_in(payer.wallet_id, "10")
        answer = await gate.ask(payer, chat())

        assert answer.status == 200
        assert (await gate.accounts(payer)).charges == [answer.charged]


class TestAModelThatIsFreeOnPurpose:
    async def test_needs_no_credit_and_costs_nothing(self, gate: Gate, clock: StoppedClock) -> None:
        clock.move(timedelta(days=1))  # the free price stays in this worker's database, out of other tests' sight
        units = (Unit.INPUT, Unit.OUTPUT)
        async with gate.begin() as uow:
            await gate.pricing.publish(uow, [new_rate(GIFT, unit, "0", at=clock.now(), is_free=True) for unit in units])
        payer = await gate.payer()

        answer = await gate.ask(payer, chat(model=GIFT))

        after = await gate.accounts(payer)
        assert (answer.status, answer.charged) == (200, rub("0"))
        assert [(event.billing_source, event.charged) for event in after.events] == [(BillingSource.PAYG, rub("0"))]
        assert (after.entries, after.drifts) == ({}, ())


class TestUseAboveTheHold:
    async def test_is_taken_from_the_rest_of_the_credit(self, gate: Gate, provider: Provider) -> None:
        payer = await gate.payer("100")
        await provider.will(**altered(usage={"prompt_tokens": 10, "completion_tokens": 5000}))

        answer = await gate.ask(payer, chat())

        after = await gate.accounts(payer)
        held, charged = quote(chat()), 10 * SMALL_INPUT + 5000 * SMALL_OUTPUT
        assert answer.charged.micros == charged > held
        assert after.entries[("charge", "held")] == -held
        assert after.entries[("charge", "paid")] == held - charged
        assert (after.balance.available, after.balance.debt) == (rub("100") - answer.charged, rub("0"))
        assert after.drifts == ()

    async def test_and_above_all_credit_becomes_debt_that_stops_the_next_call(
        self, gate: Gate, provider: Provider
    ) -> None:
        payer = await gate.payer("0.05")
        await provider.will(**altered(usage={"prompt_tokens": 10, "completion_tokens": 5000}))

        answer = await gate.ask(payer, chat())

        after = await gate.accounts(payer)
        assert answer.charged.micros == 10 * SMALL_INPUT + 5000 * SMALL_OUTPUT
        assert after.balance.debt == answer.charged - rub("0.05")
        assert (after.balance.available, answer.balance) == (rub("0"), rub("0"))
        assert [*after.charges, *(event.charged for event in after.events)] == [answer.charged] * 2
        with pytest.raises(InsufficientFunds):
            await gate.ask(payer, chat())


@dataclass(frozen=True)
class UsageCase:
    """How the provider counts, and what the gateway makes of it."""

    variant: str
    reason: EstimateReason | None


USAGES = [
    UsageCase("absent", EstimateReason.USAGE_MISSING),
    UsageCase("null", EstimateReason.USAGE_MISSING),
    UsageCase("empty", EstimateReason.USAGE_MISSING),
    UsageCase("negative", EstimateReason.USAGE_INVALID),
    UsageCase("other_names", None),
    UsageCase("zero", None),
]


class TestUsageAsProvidersTellIt:
    @pytest.mark.parametrize("case", USAGES, ids=lambda case: case.variant)
    async def test_is_believed_where_it_is_a_count_and_replaced_where_it_is_none(
        self, case: UsageCase, gate: Gate, provider: Provider
    ) -> None:
        payer = await gate.payer("100")
        honest = await gate.ask(payer, chat())
        await provider.will("usage", usage_variant=case.variant)

        answer = await gate.ask(payer, chat())

        after = await gate.accounts(payer)
        event = after.events[0] if after.events[0].operation_id == answer.operation_id else after.events[1]
        assert event.estimate_reason == case.reason
        assert event.charged == answer.charged
        if case.reason is None:
            assert answer.charged == (rub("0") if case.variant == "zero" else honest.charged)
        else:
            assert rub("0") < answer.charged <= rub("0.05")
        assert (after.balance.held, after.drifts) == (rub("0"), ())

    @pytest.mark.parametrize(
        "usage", [{"prompt_tokens": 10**9, "completion_tokens": 5}, {"completion_tokens": None}, "much"]
    )
    async def test_that_nobody_can_mean_is_replaced_by_our_own_count(
        self, usage: object, gate: Gate, provider: Provider
    ) -> None:
        payer = await gate.payer("100")
        await provider.will(**altered(usage=usage))

        answer = await gate.ask(payer, chat())

        (event,) = (await gate.accounts(payer)).events
        assert event.is_estimated
        assert rub("0") < answer.charged < rub("0.05")


class TestFreeUse:
    async def test_a_call_that_fits_the_free_quota_costs_nothing_and_is_recorded(
        self, gate: Gate, provider: Provider
    ) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer()

        answer = await gate.ask(payer, chat(model=DEMO_FREE))

        after = await gate.accounts(payer)
        usage = body_of(answer)["usage"]
        (event,) = after.events
        assert (answer.status, answer.charged, answer.billing_source) == (200, rub("0"), BillingSource.LEAD_MAGNET)
        assert (event.billing_source, event.charged) == (BillingSource.LEAD_MAGNET, rub("0"))
        shadow = usage["prompt_tokens"] * FREE_INPUT + usage["completion_tokens"] * FREE_OUTPUT
        assert event.raw_cost.micros == shadow
        used = [(metric.used, metric.reserved) for metric in after.free.metrics]
        assert used == [(usage["prompt_tokens"], 0), (usage["completion_tokens"], 0)]
        assert (after.entries, after.drifts) == ({}, ())
        assert len(await provider.calls()) == 1

    async def test_the_free_quota_goes_first_and_the_wallet_pays_when_it_is_used_up(self, gate: Gate) -> None:
        await gate.set_terms(free_terms(output_tokens=ASKED_TOKENS + 10))
        payer = await gate.payer("100")

        first = await gate.ask(payer, chat(model=DEMO_FREE))
        second = await gate.ask(payer, chat(model=DEMO_FREE))

        after = await gate.accounts(payer)
        assert (first.billing_source, second.billing_source) == (BillingSource.LEAD_MAGNET, BillingSource.PAYG)
        assert after.charges == [second.charged]
        assert second.charged == next(event.raw_cost for event in after.events if event.charged == rub("0"))
        assert after.drifts == ()

    @pytest.mark.parametrize(
        "terms",
        [NOT_FREE, free_terms(input_tokens=0), free_terms(output_tokens=0), free_terms(model="demo-small")],
        ids=["switched off", "no input", "no output", "another model"],
    )
    async def test_what_is_not_free_is_paid_for(self, terms: FreeTerms, gate: Gate) -> None:
        await gate.set_terms(terms)
        rich, poor = await gate.payer("100"), await gate.payer()

        answer = await gate.ask(rich, chat(model=DEMO_FREE))

        assert answer.billing_source is BillingSource.PAYG
        with pytest.raises(InsufficientFunds):
            await gate.ask(poor, chat(model=DEMO_FREE))

    @pytest.mark.parametrize("fault", ["server_error", "reset", "empty_body"])
    async def test_a_free_call_that_delivers_nothing_uses_nothing_up(
        self, fault: str, gate: Gate, provider: Provider
    ) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer()
        await provider.will(fault)

        try:
            answer = await gate.ask(payer, chat(model=DEMO_FREE))
        except UpstreamBroken:
            assert fault != "server_error"
        else:
            assert answer.status == 500

        after = await gate.accounts(payer)
        assert [(metric.used, metric.reserved) for metric in after.free.metrics] == [(0, 0), (0, 0)]
        assert (after.events, after.entries, after.drifts) == ((), {}, ())

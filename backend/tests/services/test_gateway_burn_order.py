"""A call is paid for in the order that its account chose, and whoever may not begin is reported."""

from __future__ import annotations

import pytest

from backend.tests.builders.gateway import Gate, Payer, build_gate, chat, free_terms, incoming
from billing.customers.rules import OperatorRole
from billing.gateway.rules.doors import Door
from billing.pricing.seed import DEMO_FREE, DEMO_SMALL
from billing.quotas.errors import FreeQuotaUnavailable, QuotaExceeded
from billing.quotas.rules import BurnOrder, Metric
from billing.usage.rules import BillingSource
from billing.wallets.errors import InsufficientFunds

pytestmark = pytest.mark.money


async def choose(gate: Gate, payer: Payer, order: BurnOrder) -> None:
    """The account's choice."""
    await gate.quotas.set_burn_order(payer.customer.principal, order, request_id="req_order")


class TestFreeFirst:
    async def test_leaves_the_wallet_alone_while_something_is_free(self, gate: Gate) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer("100")

        answer = await gate.ask(payer, chat(model=DEMO_FREE))

        assert answer.billing_source is BillingSource.LEAD_MAGNET


class TestWalletFirst:
    async def test_pays_while_the_wallet_can(self, gate: Gate) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer("100")
        await choose(gate, payer, BurnOrder.WALLET_FIRST)

        answer = await gate.ask(payer, chat(model=DEMO_FREE))

        after = await gate.accounts(payer)
        assert answer.billing_source is BillingSource.PAYG
        assert [(metric.used, metric.reserved) for metric in after.free.metrics] == [(0, 0), (0, 0)]
        assert after.drifts == ()

    async def test_uses_what_is_free_when_the_wallet_cannot_pay(self, gate: Gate) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer()
        await choose(gate, payer, BurnOrder.WALLET_FIRST)

        answer = await gate.ask(payer, chat(model=DEMO_FREE))

        after = await gate.accounts(payer)
        assert answer.billing_source is BillingSource.LEAD_MAGNET
        assert (after.entries, after.drifts) == ({}, ())

    async def test_says_that_the_wallet_is_empty_when_nothing_is_free_either(self, gate: Gate) -> None:
        await gate.set_terms(free_terms(output_tokens=1))
        payer = await gate.payer()
        await choose(gate, payer, BurnOrder.WALLET_FIRST)

        with pytest.raises(InsufficientFunds):
            await gate.ask(payer, chat(model=DEMO_FREE))


class TestFreeOnly:
    async def test_never_touches_the_wallet(self, gate: Gate) -> None:
        await gate.set_terms(free_terms(output_tokens=110))
        payer = await gate.payer("100")
        await choose(gate, payer, BurnOrder.FREE_ONLY)

        first = await gate.ask(payer, chat(model=DEMO_FREE))
        with pytest.raises(QuotaExceeded) as refused:
            await gate.ask(payer, chat(model=DEMO_FREE))

        after = await gate.accounts(payer)
        error = refused.value
        assert first.billing_source is BillingSource.LEAD_MAGNET
        assert (error.metric, error.limit, error.required) == (Metric.OUTPUT_TOKENS, 110, 100)
        assert error.used + error.required > error.limit
        assert error.facts == {"metric": "output_tokens", "limit": 110, "used": error.used, "required": 100}
        assert (after.charges, after.drifts) == ([], ())

    async def test_says_why_a_call_cannot_be_free(self, gate: Gate) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer("100")
        await choose(gate, payer, BurnOrder.FREE_ONLY)

        with pytest.raises(FreeQuotaUnavailable) as refused:
            await gate.ask(payer, chat(model=DEMO_SMALL))

        assert refused.value.facts == {"reason": "model_not_eligible"}


@pytest.fixture
async def full_gate(gate: Gate) -> Gate:
    """A gateway to which no network may bring a newcomer any more."""
    await gate.set_terms(free_terms())
    return build_gate(
        begin=gate.begin,
        wallets=gate.wallets,
        town=gate.town,
        routes=gate.routes,
        upstream=gate.upstream,
        starts_per_network=0,
    )


async def refusals(gate: Gate, payer: Payer) -> list[tuple[str, int]]:
    """From which network, and how often, this account was refused its start, as operators read it."""
    operator = await gate.town.customer(operator_role=OperatorRole.SUPPORT)
    report = await gate.quotas.starts_report(operator.principal, days=1)
    of_payer = [part for part in report.refusals if part.start.account_id == payer.customer.account.id]
    return [(part.start.network, part.attempts) for part in of_payer]


class TestAStartThatIsRefused:
    async def test_is_reported_where_the_wallet_pays_instead(self, full_gate: Gate) -> None:
        payer = await full_gate.payer("100")

        answer = await full_gate.service.serve(
            payer.principal, Door.CHAT, incoming(chat(model=DEMO_FREE)), client_network="198.51.100.7"
        )

        assert answer.billing_source is BillingSource.PAYG
        assert await refusals(full_gate, payer) == [("198.51.100.0/24", 1)]

    async def test_is_reported_where_the_whole_call_is_refused(self, full_gate: Gate) -> None:
        payer = await full_gate.payer()

        for _ in range(2):
            with pytest.raises(InsufficientFunds):
                await full_gate.service.serve(
                    payer.principal, Door.CHAT, incoming(chat(model=DEMO_FREE)), client_network="198.51.100.7"
                )

        assert await refusals(full_gate, payer) == [("198.51.100.0/24", 2)]
        assert (await full_gate.accounts(payer)).drifts == ()

    async def test_is_not_reported_for_a_quote(self, full_gate: Gate) -> None:
        payer = await full_gate.payer("100")

        await full_gate.service.quote(
            payer.principal, Door.CHAT, incoming(chat(model=DEMO_FREE)), client_network="198.51.100.7"
        )

        assert await refusals(full_gate, payer) == []

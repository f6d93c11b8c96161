"""The scenario matrix: one judge for every row, who looks at ledger, balance, record of usage and answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest
from _pytest.mark.structures import ParameterSet

from backend.tests.builders.gateway import NOT_FREE, SETTINGS, Accounts, Gate, Provider, open_gate, routes_to
from backend.tests.builders.scenario_matrix import MATRIX, Row
from backend.tests.builders.scenarios import Got, Quantities, Scene, micros
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from billing.gateway.calls import Answer
from billing.kit.money import Money
from billing.pricing.rules import Unit
from billing.usage.rules import BillingSource, UsageEvent

pytestmark = [pytest.mark.money, pytest.mark.slow]

CHARGES = {"charge", "late_charge"}


@pytest.fixture
async def scene(row: Row, gate: Gate, provider: Provider, clock: StoppedClock) -> AsyncIterator[Scene]:
    """The gateway with the settings of the row, and its customer with the row's credit."""
    async with open_gate(
        begin=gate.begin,
        wallets=gate.wallets,
        town=gate.town,
        routes=routes_to(provider.url),
        settings=SETTINGS.model_copy(update=dict(row.settings)),
    ) as own:
        await own.set_terms(row.free or NOT_FREE)
        yield Scene(own, provider, clock, await own.payer(row.paid if rub(row.paid).micros else None))


def cells() -> Iterator[ParameterSet]:
    """Every row with its scenario's name; the first of each scenario is played before every push, the others later."""
    begun: set[str] = set()
    for row in MATRIX:
        marks = [pytest.mark.scenario(row.scenario), *([pytest.mark.slow] if row.scenario in begun else [])]
        begun.add(row.scenario)
        yield pytest.param(row, id=f"{row.scenario}: {row.cell}", marks=marks)


@pytest.mark.parametrize("row", list(cells()))
async def test_every_row_leaves_what_it_must(row: Row, scene: Scene) -> None:
    if row.before is not None:
        await row.before(scene)
    before = await scene.gate.accounts(scene.payer)
    if row.fault is not None:
        await scene.plan(row.ask.door, row.fault)

    got = await row.play(scene, row.ask)

    after = await scene.gate.accounts(scene.payer)
    event = the_new_event(row, before, after)
    charged = await charge_of(row, scene, got, event)
    check_the_answer(row, got, charged, after)
    check_the_ledger(row, before, after, charged)
    assert after.drifts == ()


def the_new_event(row: Row, before: Accounts, after: Accounts) -> UsageEvent | None:
    """The call's record of usage: exactly one, or none where nothing was used."""
    known = {event.operation_id for event in before.events}
    new = [event for event in after.events if event.operation_id not in known]
    assert (len(before.events), len(new)) == (row.earlier, 0 if row.count is None else 1)
    return new[0] if new else None


async def charge_of(row: Row, scene: Scene, got: Got, event: UsageEvent | None) -> Money:
    """What must have been charged, after a look at the record of usage."""
    if row.count is None or event is None:
        return rub("0")
    expected = await row.count(scene, row.ask, got)
    if row.reason is None:
        assert used(event.quantities) == used(expected)
    else:
        check_an_own_count(event, expected)
    price = micros(row.ask.model, event.quantities)
    charged = price if row.source is BillingSource.PAYG else 0
    assert (event.raw_cost.micros, event.charged.micros) == (price, charged)
    assert (event.estimate_reason, event.billing_source) == (row.reason, row.source)
    assert (event.door, event.model_asked, event.model_priced) == (row.ask.door, row.ask.model, row.ask.model)
    assert (event.account_id, event.wallet_id) == (scene.payer.customer.account.id, scene.payer.wallet_id)
    return event.charged


def check_an_own_count(event: UsageEvent, expected: Quantities) -> None:
    """What was passed on was counted; a text that went in has tokens, no more than bytes."""
    assert {unit: event.quantities[unit] for unit in expected} == expected
    if Unit.OUTPUT in expected and Unit.TRANSCRIPTION_MS not in expected:
        assert 0 < event.quantities[Unit.INPUT] <= 40  # the question has 21 bytes, a message a few tokens of its own


def used(quantities: Quantities) -> dict[Unit, int]:
    """What is not zero."""
    return {unit: count for unit, count in quantities.items() if count}


def check_the_answer(row: Row, got: Got, charged: Money, after: Accounts) -> None:
    """The outcome, what the answer says of its price, and how a stream ends."""
    if got.answer is not None or got.refusal is not None:
        assert got.outcome == row.outcome
    if isinstance(got.answer, Answer):
        assert (got.answer.charged, got.answer.balance) == (charged, after.balance.available)
    assert row.says in "\n\n".join(got.said.split("\n\n")[-3:])
    for told in (bill for event in got.events if (bill := bill_in(event)) is not None):
        assert (Decimal(told["charged"]), told["balance"]) == (
            Decimal(charged.to_decimal()),
            after.balance.available.to_decimal(),
        )
    if charged.micros:
        assert "nothing was charged" not in got.said


def bill_in(event: dict[str, object]) -> dict[str, str] | None:
    """What an event of a stream says of the price, beside its usage or in the whole response."""
    response = event.get("response")
    bill = event.get("billing") or (response.get("billing") if isinstance(response, dict) else None)
    return bill if isinstance(bill, dict) else None


def check_the_ledger(row: Row, before: Accounts, after: Accounts, charged: Money) -> None:
    """The kinds of transfers, the sum of each, and the balance that follows."""
    sums: Counter[str] = Counter()
    for (kind, account), amount in after.entries.items():
        sums[kind] += amount if account != "debt" else 0
    paid = rub(row.paid) + rub(row.topped_up)
    spent = sum((charge.micros for charge in after.charges), 0)
    assert {kind for kind, _ in after.entries} == row.moves
    assert sum((charge.micros for charge in before.charges), 0) + charged.micros == spent
    assert [kind for kind in CHARGES if sums[kind] > 0] == []
    assert after.balance.held == rub("0")
    assert after.balance.debt == rub(row.debt)
    assert after.balance.available.micros == paid.micros - spent + after.balance.debt.micros

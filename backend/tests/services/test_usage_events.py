"""What an operation used is recorded once, beside its charge, and never rewritten (G4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg import IntegrityError
from psycopg.errors import UniqueViolation
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from backend.tests.builders.usage import usage_event
from backend.tests.builders.wallets import Wallets, rub
from billing.customers.rules import AccountId
from billing.kit.unit_of_work import Begin
from billing.ledger.invariants import Extent
from billing.pricing.rules import Unit
from billing.usage.errors import UsageEventReused
from billing.usage.invariants import UsageVerifier
from billing.usage.rules import BillingSource, EstimateReason, UsageEvent
from billing.usage.service import UsageService
from billing.wallets.rules import OperationId, WalletId


@pytest.fixture
def usage(begin: Begin) -> UsageService:
    """The real service."""
    return UsageService(begin)


@pytest.fixture
async def event(wallets: Wallets) -> UsageEvent:
    """A paid operation of a new account, not recorded yet."""
    account_id = AccountId(await wallets.account())
    async with wallets.begin() as uow:
        wallet_id = await wallets.service.of_account(uow, account_id, rub("0").currency)
    return usage_event(
        wallets.operation(),
        account_id,
        wallet_id,
        rub("2"),
        provider="tests",
        model_used="m-1",
        quantities=dict.fromkeys(Unit, 5),
        rates={"model": "m"},
        estimate_reason=EstimateReason.USAGE_MISSING,
        latency_ms=12,
        correlation_id="theirs",
        occurred_at=wallets.clock.now(),
    )


class TestRecording:
    async def test_keeps_every_word(self, usage: UsageService, event: UsageEvent, begin: Begin) -> None:
        async with begin() as uow:
            await usage.record(uow, event)

            assert await usage.event_of(uow, event.operation_id) == event

    @pytest.mark.parametrize("reason", [None, *EstimateReason])
    @pytest.mark.parametrize("source", [BillingSource.PAYG, BillingSource.SUBSCRIPTION])
    async def test_keeps_every_reason_and_every_source_that_is_paid(
        self,
        reason: EstimateReason | None,
        source: BillingSource,
        usage: UsageService,
        event: UsageEvent,
        begin: Begin,
    ) -> None:
        told = replace(event, estimate_reason=reason, billing_source=source, provider=None)
        async with begin() as uow:
            await usage.record(uow, told)

            assert await usage.event_of(uow, event.operation_id) == told
        assert told.is_estimated == (reason is not None)

    async def test_says_the_same_whether_zeros_are_spelt_out_or_not(
        self, usage: UsageService, event: UsageEvent, begin: Begin
    ) -> None:
        spelt_out = replace(event, quantities={**dict.fromkeys(Unit, 0), Unit.IMAGE_LARGE: 2})
        short = replace(event, quantities={Unit.IMAGE_LARGE: 2})
        async with begin() as uow:
            await usage.record(uow, spelt_out)
            await usage.record(uow, short)

            assert await usage.event_of(uow, event.operation_id) == short

    async def test_the_same_again_changes_nothing(self, usage: UsageService, event: UsageEvent, begin: Begin) -> None:
        async with begin() as uow:
            await usage.record(uow, event)
            await usage.record(uow, event)

            assert await usage.recent(uow, event.account_id, 10) == (event,)

    @pytest.mark.parametrize(
        "otherwise",
        [
            {"charged": rub("1")},
            {"account_id": "another"},
            {"quantities": dict.fromkeys(Unit, 6)},
            {"door": "embeddings"},
            {"provider": None},
            {"model_used": "m-2"},
        ],
        ids=["charge", "account", "quantities", "door", "provider", "model"],
    )
    async def test_the_same_operation_otherwise_is_refused(
        self, otherwise: dict[str, object], usage: UsageService, event: UsageEvent, begin: Begin, wallets: Wallets
    ) -> None:
        if "account_id" in otherwise:
            otherwise = {"account_id": AccountId(await wallets.account())}
        async with begin() as uow:
            await usage.record(uow, event)

            with pytest.raises(UsageEventReused):
                await usage.record(uow, replace(event, **otherwise))  # type: ignore[arg-type]  # one field, as the case says

            assert await usage.event_of(uow, event.operation_id) == event

    async def test_a_second_event_that_may_wait_fails_the_commit(
        self, usage: UsageService, event: UsageEvent, begin: Begin
    ) -> None:
        async with begin() as uow:
            uow.writes_may_wait = True
            await usage.record(uow, event)

        with pytest.raises(UniqueViolation):
            async with begin() as uow:
                uow.writes_may_wait = True
                await usage.record(uow, replace(event, charged=rub("1")))

        async with begin() as uow:
            assert await usage.event_of(uow, event.operation_id) == event


class TestTheTable:
    @pytest.mark.parametrize("statement", ["UPDATE usage_events SET charged_micros = 0", "DELETE FROM usage_events"])
    async def test_cannot_be_rewritten_by_the_application(self, statement: str, begin: Begin) -> None:
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with begin() as uow:
                await uow.connection.execute(text(statement))

    @pytest.mark.parametrize(
        ("otherwise", "constraint"),
        [
            ({"charged": rub("3")}, "charged_within_raw_cost"),
            ({"charged": rub("-1")}, "charged_within_raw_cost"),
            ({"billing_source": BillingSource.LEAD_MAGNET}, "free_is_not_charged"),
            ({"quantities": {Unit.OUTPUT: -1}}, "tokens"),
            ({"discount_percent": 101}, "discount_percent"),
            ({"quantities": {Unit.IMAGE_PIXELS: -1}}, "units"),
            ({"quantities": {Unit.REQUEST: 1.5}}, "units"),
            ({"latency_ms": -1}, "latency"),
            ({"door": "chat completions?"}, "door"),
        ],
        ids=[
            "above the price",
            "below zero",
            "free and charged",
            "negative use",
            "discount",
            "negative pixels",
            "half a request",
            "negative time",
            "no door",
        ],
    )
    async def test_refuses_what_cannot_be(
        self, otherwise: dict[str, object], constraint: str, usage: UsageService, event: UsageEvent, begin: Begin
    ) -> None:
        with pytest.raises(IntegrityError, match=f"ck_usage_events_{constraint}"):
            async with begin() as uow:
                await usage.record(uow, replace(event, **otherwise))  # type: ignore[arg-type]  # one field, as the case says


class TestTheChecker:
    async def test_finds_an_event_without_its_charge(
        self, usage: UsageService, event: UsageEvent, begin: Begin
    ) -> None:
        async with begin() as uow:
            await usage.record(uow, event)

            (drift,) = await UsageVerifier().drifts(uow, Extent(event.wallet_id))

        assert (drift.invariant, drift.subject) == ("G4", event.operation_id)

    async def test_finds_a_charge_without_its_event(self, wallets: Wallets) -> None:
        wallet_id = await wallets.with_paid("10")
        await _charged(wallets, wallet_id, "3")

        async with wallets.begin() as uow:
            (drift,) = await UsageVerifier().drifts(uow, Extent(wallet_id))

        assert drift.invariant == "G4"

    async def test_finds_nothing_where_both_say_the_same(
        self, usage: UsageService, event: UsageEvent, wallets: Wallets
    ) -> None:
        await wallets.pay_in(event.wallet_id, "10")
        operation_id = await _charged(wallets, event.wallet_id, "2")

        async with wallets.begin() as uow:
            await usage.record(uow, replace(event, operation_id=operation_id))

            assert await UsageVerifier().drifts(uow, Extent(event.wallet_id)) == ()


async def _charged(wallets: Wallets, wallet_id: WalletId, amount: str) -> OperationId:
    operation_id = await wallets.hold(wallet_id, "3")
    async with wallets.begin() as uow:
        await wallets.service.settle(uow, wallet_id, operation_id, rub(amount))
    return operation_id

"""The checker sees it when counters, reservations and recorded usage of free calls say different things (G9)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from sqlalchemy import text

from backend.tests.builders.quotas import FREE_MODEL, quota_service
from backend.tests.builders.usage import usage_event
from backend.tests.builders.wallets import Wallets, rub
from billing.customers.rules import AccountId
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.ledger.invariants import Extent
from billing.pricing.rules import Unit
from billing.quotas.invariants import FreeUsageVerifier, QuotaVerifier
from billing.quotas.rules import Amounts, FreeTerms, Metric
from billing.quotas.service import QuotaService
from billing.usage.rules import BillingSource, UsageEvent
from billing.usage.service import UsageService

USED = Amounts(input_tokens=7, output_tokens=5)


class TakenBackError(Exception):
    """Rolls back what a test has spoiled, so that no other test finds it."""


@dataclass(frozen=True)
class FreeCall:
    """One free call, finalised and recorded as a test wants it."""

    quotas: QuotaService
    usage: UsageService
    event: UsageEvent

    async def drifts(
        self, uow: UnitOfWork, *, counted: Amounts | None = USED, recorded: UsageEvent | None = None
    ) -> list[str]:
        """What the checker says of the call's wallet, when so much was counted and this was recorded."""
        if counted is not None:
            operation = self.event.operation_id
            await self.quotas.reserve(uow, self.event.account_id, operation, USED, model=FREE_MODEL)
            await self.quotas.finalise(uow, operation, counted)
        if recorded is not None:
            await self.usage.record(uow, recorded)
        drifts = await FreeUsageVerifier().drifts(uow, Extent(self.event.wallet_id))
        assert {drift.subject for drift in drifts} <= {self.event.operation_id}
        return [drift.sentence for drift in drifts]


@pytest.fixture
async def call(wallets: Wallets) -> FreeCall:
    """A call of a new account that is about to happen."""
    quotas = quota_service(wallets.begin, wallets.clock, wallets.ids)
    account_id = AccountId(await wallets.account())
    limits = Amounts(*(1000 for _ in Metric))
    async with wallets.begin() as uow:
        await quotas.set_terms(uow, FreeTerms(True, 30, limits, frozenset({FREE_MODEL})))
        wallet_id = await wallets.service.of_account(uow, account_id, rub("0").currency)
    event = usage_event(
        wallets.operation(),
        account_id,
        wallet_id,
        rub("0"),
        billing_source=BillingSource.LEAD_MAGNET,
        model_asked=FREE_MODEL,
        model_priced=FREE_MODEL,
        quantities={Unit.INPUT: 4, Unit.CACHED_INPUT: 3, Unit.OUTPUT: 4, Unit.REASONING: 1},
        raw_cost=rub("2"),
        occurred_at=wallets.clock.now(),
    )
    return FreeCall(quotas, UsageService(wallets.begin), event)


class TestFreeUse:
    async def test_that_is_counted_and_recorded_alike_is_right(self, call: FreeCall, begin: Begin) -> None:
        with pytest.raises(TakenBackError):
            async with begin() as uow:
                assert await call.drifts(uow, recorded=call.event) == []
                raise TakenBackError

    async def test_that_is_counted_and_not_recorded_is_seen(self, call: FreeCall, begin: Begin) -> None:
        with pytest.raises(TakenBackError):
            async with begin() as uow:
                assert await call.drifts(uow) == ["free use was counted and not recorded"]
                raise TakenBackError

    async def test_that_is_recorded_and_not_counted_is_seen(self, call: FreeCall, begin: Begin) -> None:
        with pytest.raises(TakenBackError):
            async with begin() as uow:
                said = await call.drifts(uow, counted=None, recorded=call.event)
                assert said == ["free use was recorded and not counted"]
                raise TakenBackError

    @pytest.mark.parametrize(
        "counted", [Amounts(6, 5), Amounts(7, 6), Amounts(7, 5, transcription_seconds=1)], ids=["in", "out", "seconds"]
    )
    async def test_that_is_counted_otherwise_is_seen(self, counted: Amounts, call: FreeCall, begin: Begin) -> None:
        with pytest.raises(TakenBackError):
            async with begin() as uow:
                said = await call.drifts(uow, counted=counted, recorded=call.event)
                assert said == ["free use was counted and recorded differently"]
                raise TakenBackError

    async def test_of_a_recording_counts_each_second_that_has_begun(self, call: FreeCall, begin: Begin) -> None:
        heard = replace(
            call.event, door="audio/transcriptions", quantities={Unit.TRANSCRIPTION_MS: 2001, Unit.REQUEST: 1}
        )

        with pytest.raises(TakenBackError):
            async with begin() as uow:
                assert await call.drifts(uow, counted=Amounts(transcription_seconds=3), recorded=heard) == []
                raise TakenBackError


class TestCounters:
    @pytest.mark.parametrize("metric", list(Metric))
    @pytest.mark.parametrize("kind", ["used", "reserved"])
    async def test_that_differ_from_their_reservations_are_seen(
        self, metric: Metric, kind: str, call: FreeCall, begin: Begin
    ) -> None:
        with pytest.raises(TakenBackError):
            async with begin() as uow:
                await call.drifts(uow)
                await uow.connection.execute(
                    text(
                        f"UPDATE free_quota_cycles SET {metric}_{kind} = {metric}_{kind} + 1 WHERE holder_id ="  # noqa: S608 - names of ours
                        " (SELECT holder_id FROM free_quota_accounts WHERE account_id = :account_id)",
                    ),
                    {"account_id": call.event.account_id},
                )
                (drift,) = await QuotaVerifier().drifts(uow, Extent(call.event.wallet_id))
                assert drift.invariant == "G9"
                raise TakenBackError

    async def test_that_are_right_are_no_drift(self, call: FreeCall, begin: Begin) -> None:
        with pytest.raises(TakenBackError):
            async with begin() as uow:
                await call.drifts(uow)
                assert await QuotaVerifier().drifts(uow, Extent(since=call.event.occurred_at)) == ()
                raise TakenBackError

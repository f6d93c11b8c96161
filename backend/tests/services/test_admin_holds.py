"""Operators see the holds that are stuck or odd, and end them with a reason, once, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from backend.tests.builders.customers import Customer, Town
from backend.tests.builders.gateway import Gate
from backend.tests.builders.wallets import Wallets, rub
from billing.admin.errors import HoldNotFound
from billing.admin.hold_desk import HoldDesk
from billing.admin.rules import Oddity, event_by_operator
from billing.customers.audit import AuditTrail
from billing.customers.errors import Forbidden
from billing.customers.models import AuditEntryRow
from billing.customers.rules import OperatorRole
from billing.gateway.abandoned import AbandonedStreams
from billing.gateway.booking import Booker
from billing.gateway.repository import Checkpoint, insert_checkpoint
from billing.kit.errors import InvalidInput
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import Begin
from billing.ledger.invariants import Extent
from billing.pricing.rules import Unit
from billing.quotas.rules import NOTHING
from billing.usage.errors import UsageEventReused
from billing.usage.invariants import UsageVerifier
from billing.usage.rules import EstimateReason, UsageEvent
from billing.usage.service import UsageService
from billing.wallets.errors import OperationEnded
from billing.wallets.oversight import HoldOversight
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.settings import WalletSettings

pytestmark = [pytest.mark.money, pytest.mark.slow]

TTL = timedelta(seconds=WalletSettings().hold_ttl_seconds)


@pytest.fixture
def streams(gate: Gate) -> AbandonedStreams:
    """What works on streams whose process is gone."""
    clock = gate.wallets.clock
    booker = Booker(clock=clock, quotas=gate.quotas, wallets=gate.wallets.service, usage=gate.usage)
    return AbandonedStreams(begin=gate.begin, clock=clock, booker=booker)


@pytest.fixture
def desk(begin: Begin, wallets: Wallets, streams: AbandonedStreams) -> HoldDesk:
    """The desk over the real services."""
    return HoldDesk(
        begin=begin,
        clock=wallets.clock,
        wallets=wallets.service,
        usage=UsageService(begin),
        streams=streams,
        audit=AuditTrail(wallets.clock, wallets.ids),
    )


@pytest.fixture
async def finance(town: Town) -> Customer:
    """An operator who may write."""
    return await town.customer(operator_role=OperatorRole.FINANCE)


async def hold_of(wallets: Wallets, wallet: WalletId, operation: OperationId, amount: str = "4") -> str:
    """The id of the operation's hold: holding again answers the first one."""
    async with wallets.begin() as uow:
        return (await wallets.service.hold(uow, wallet, rub(amount), operation)).hold_id


async def settle(wallets: Wallets, wallet: WalletId, operation: OperationId, amount: str) -> None:
    async with wallets.begin() as uow:
        await wallets.service.settle(uow, wallet, operation, rub(amount))


async def seen(desk: HoldDesk, finance: Customer, wallet: WalletId) -> list[tuple[str, Sequence[Oddity]]]:
    """What is listed of this wallet: operation and oddities."""
    odd = await desk.odd_holds(finance.principal, limit=200)
    return [(one.hold.operation_id, one.oddities) for one in odd if one.hold.wallet_id == wallet]


async def audit_of(begin: Begin, hold_id: str) -> list[tuple[str, str, object, object]]:
    """The audit rows about a hold: action, reason, status and charge after."""
    async with begin() as uow:
        query = select(AuditEntryRow.__table__).where(AuditEntryRow.target == hold_id)
        rows = await uow.connection.execute(query)
        return [(row.action, row.reason, row.after["status"], row.after["charged"]) for row in rows]


async def event_of(begin: Begin, operation: OperationId) -> UsageEvent | None:
    async with begin() as uow:
        return await UsageService(begin).event_of(uow, operation)


class TestWhatIsOdd:
    async def test_an_ordinary_hold_is_not_listed(self, desk: HoldDesk, wallets: Wallets, finance: Customer) -> None:
        wallet = await wallets.with_paid("10")
        await wallets.hold(wallet, "1")
        await settle(wallets, wallet, await wallets.hold(wallet, "1"), "1")

        assert await seen(desk, finance, wallet) == []

    async def test_an_overdue_hold_is_listed_until_the_sweeper_ends_it(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer
    ) -> None:
        wallet = await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "1")
        wallets.clock.move(TTL)

        before = await seen(desk, finance, wallet)
        await wallets.service.sweep()

        assert before == [(operation, (Oddity.OVERDUE,))]
        assert await seen(desk, finance, wallet) == [(operation, (Oddity.EXPIRED_UNCHARGED,))]

    async def test_a_hold_that_is_renewed_for_hours_is_listed(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer
    ) -> None:
        wallet = await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "1")
        for _ in range(6):
            wallets.clock.move(timedelta(minutes=10))
            async with wallets.begin() as uow:
                await wallets.service.renew(uow, wallet, operation)

        assert await seen(desk, finance, wallet) == [(operation, (Oddity.OPEN_FOR_LONG,))]
        await settle(wallets, wallet, operation, "1")

    async def test_a_late_charge_and_one_that_made_debt_are_listed(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer
    ) -> None:
        wallet = await wallets.with_paid("10")
        late = await wallets.hold(wallet, "1")
        wallets.clock.move(TTL)
        await wallets.service.sweep()
        await settle(wallets, wallet, late, "1")
        indebted = await wallets.hold(wallet, "2")
        wallets.clock.move(timedelta(seconds=1))
        await settle(wallets, wallet, indebted, "20")

        assert await seen(desk, finance, wallet) == [
            (indebted, (Oddity.MADE_DEBT, Oddity.CHARGED_BEYOND_HOLD)),
            (late, (Oddity.CHARGED_LATE,)),
        ]

    async def test_one_kind_can_be_asked_for(self, desk: HoldDesk, wallets: Wallets, finance: Customer) -> None:
        wallet = await wallets.with_paid("10")
        await settle(wallets, wallet, await wallets.hold(wallet, "1"), "20")

        listed = await desk.odd_holds(finance.principal, oddity=Oddity.OVERDUE, limit=200)

        assert [one for one in listed if one.hold.wallet_id == wallet] == []


class TestSettling:
    async def test_it_charges_records_the_use_and_leaves_one_audit_row(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer, begin: Begin
    ) -> None:
        wallet = await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "4")
        hold = await hold_of(wallets, wallet, operation)

        charge = await desk.settle(finance.principal, hold, rub("3"), reason="seen in the log", request_id="req_1")

        event = await event_of(begin, operation)
        assert (charge.charged, (await wallets.balance(wallet)).available) == (rub("3"), rub("7"))
        assert event is not None
        assert (event.charged, event.estimate_reason) == (rub("3"), EstimateReason.OPERATOR)
        assert await audit_of(begin, hold) == [("hold.settled", "seen in the log", "settled", "3.00 RUB")]
        async with begin() as uow:
            assert await UsageVerifier().drifts(uow, Extent(wallet)) == ()

    async def test_an_expired_hold_is_charged_late(self, desk: HoldDesk, wallets: Wallets, finance: Customer) -> None:
        wallet = await wallets.with_paid("10")
        hold = await hold_of(wallets, wallet, await wallets.hold(wallet, "4"))
        wallets.clock.move(TTL)
        await wallets.service.sweep()

        charge = await desk.settle(finance.principal, hold, rub("3"), reason="delivered", request_id="req_1")

        assert (charge.is_late, (await wallets.balance(wallet)).available) == (True, rub("7"))

    async def test_ten_operators_at_once_settle_once(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer, begin: Begin
    ) -> None:
        wallet = await wallets.with_paid("10")
        hold = await hold_of(wallets, wallet, await wallets.hold(wallet, "4"))

        await asyncio.gather(
            *(desk.settle(finance.principal, hold, rub("3"), reason="twice", request_id="req_1") for _ in range(10))
        )

        assert (await wallets.balance(wallet)).available == rub("7")
        assert len(await audit_of(begin, hold)) == 1

    async def test_another_amount_than_before_is_refused(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer, begin: Begin
    ) -> None:
        wallet = await wallets.with_paid("10")
        hold = await hold_of(wallets, wallet, await wallets.hold(wallet, "4"))
        await desk.settle(finance.principal, hold, rub("3"), reason="first", request_id="req_1")

        with pytest.raises(OperationEnded):
            await desk.settle(finance.principal, hold, rub("2"), reason="second", request_id="req_2")

        assert len(await audit_of(begin, hold)) == 1

    async def test_what_cannot_be_recorded_is_not_charged_and_not_audited(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer, begin: Begin
    ) -> None:
        wallet, other = await wallets.with_paid("10"), await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "4")
        hold = await hold_of(wallets, wallet, operation)
        async with wallets.begin() as uow:
            await wallets.service.hold(uow, other, rub("4"), operation)
        await desk.settle(
            finance.principal, await hold_of(wallets, other, operation), rub("1"), reason="first", request_id="req_1"
        )

        with pytest.raises(UsageEventReused):
            await desk.settle(finance.principal, hold, rub("3"), reason="second", request_id="req_2")

        assert (await wallets.balance(wallet)).held == rub("4")
        assert await audit_of(begin, hold) == []

    @pytest.mark.parametrize(
        ("amount", "reason"),
        [(rub("-1"), "because"), (rub("1"), " "), (rub("1"), "x" * 501), (Money(1, Currency("EUR")), "because")],
    )
    async def test_no_reason_no_amount_or_another_currency_is_refused(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer, amount: Money, reason: str
    ) -> None:
        wallet = await wallets.with_paid("10")
        hold = await hold_of(wallets, wallet, await wallets.hold(wallet, "4"))

        with pytest.raises(InvalidInput):
            await desk.settle(finance.principal, hold, amount, reason=reason, request_id="req_1")

        assert (await wallets.balance(wallet)).held == rub("4")


class TestReleasing:
    async def test_it_gives_everything_back_and_the_second_time_changes_nothing(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer, begin: Begin
    ) -> None:
        wallet = await wallets.with_paid("10")
        hold = await hold_of(wallets, wallet, await wallets.hold(wallet, "4"))

        for _ in range(2):
            await desk.release(finance.principal, hold, reason="nothing came", request_id="req_1")

        assert (await wallets.balance(wallet)).available == rub("10")
        assert await audit_of(begin, hold) == [("hold.released", "nothing came", "released", None)]

    async def test_a_charged_or_expired_hold_is_refused(
        self, desk: HoldDesk, wallets: Wallets, finance: Customer
    ) -> None:
        wallet = await wallets.with_paid("10")
        charged, expired = await wallets.hold(wallet, "4"), await wallets.hold(wallet, "4")
        await settle(wallets, wallet, charged, "1")
        wallets.clock.move(TTL)
        await wallets.service.sweep()

        for operation in (charged, expired):
            with pytest.raises(OperationEnded):
                await desk.release(
                    finance.principal, await hold_of(wallets, wallet, operation), reason="why not", request_id="req_1"
                )

    async def test_an_unknown_hold_is_refused(self, desk: HoldDesk, finance: Customer) -> None:
        with pytest.raises(HoldNotFound):
            await desk.release(finance.principal, "hld_unknown", reason="because", request_id="req_1")


class TestAStreamThatIsLost:
    """The gateway died in a stream: its checkpoint says what was metered, and its hold waits."""

    async def lost(self, wallets: Wallets, *, metered: str = "2") -> tuple[WalletId, OperationId, str]:
        wallet = await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "4")
        hold_id = await hold_of(wallets, wallet, operation)
        async with wallets.begin() as uow:
            hold = await HoldOversight().hold(uow, hold_id)
            assert hold is not None
            event = replace(
                event_by_operator(hold, rub(metered), None, wallets.clock.now()),
                model_used="gpt-4o",
                quantities={Unit.OUTPUT: 20},
                estimate_reason=EstimateReason.GATEWAY_LOST,
            )
            checkpoint = Checkpoint(event, NOTHING, has_delivered=True, began_at=hold.placed_at)
            await insert_checkpoint(uow, checkpoint, wallets.clock.now() + TTL)
        return wallet, operation, hold_id

    async def test_it_is_marked_in_the_list(self, desk: HoldDesk, wallets: Wallets, finance: Customer) -> None:
        wallet, _, _ = await self.lost(wallets)
        wallets.clock.move(TTL)

        odd = await desk.odd_holds(finance.principal, limit=200)

        assert [one.is_unfinished_stream for one in odd if one.hold.wallet_id == wallet] == [True]
        await wallets.service.sweep()

    async def test_settling_ends_the_checkpoint_with_the_hold_and_records_what_was_metered(
        self, desk: HoldDesk, streams: AbandonedStreams, wallets: Wallets, finance: Customer, begin: Begin
    ) -> None:
        wallet, operation, hold = await self.lost(wallets)

        await desk.settle(finance.principal, hold, rub("1"), reason="half of it came", request_id="req_1")
        wallets.clock.move(TTL)
        await streams.settle()

        event = await event_of(begin, operation)
        assert event is not None
        assert (event.charged, event.raw_cost, event.model_used) == (rub("1"), rub("2"), "gpt-4o")
        assert event.quantities[Unit.OUTPUT] == 20
        assert (await wallets.balance(wallet)).available == rub("9")

    async def test_releasing_ends_both_uncharged(
        self, desk: HoldDesk, streams: AbandonedStreams, wallets: Wallets, finance: Customer, begin: Begin
    ) -> None:
        wallet, operation, hold = await self.lost(wallets)

        await desk.release(finance.principal, hold, reason="nothing came", request_id="req_1")
        wallets.clock.move(TTL)
        await streams.settle()

        assert await event_of(begin, operation) is None
        assert (await wallets.balance(wallet)).available == rub("10")

    async def test_operators_the_job_and_the_sweeper_together_end_each_once_and_never_wait_in_a_circle(
        self, desk: HoldDesk, streams: AbandonedStreams, wallets: Wallets, finance: Customer
    ) -> None:
        lost = [await self.lost(wallets) for _ in range(12)]
        wallets.clock.move(TTL)

        async def decided(hold: str) -> str:
            try:
                await desk.settle(finance.principal, hold, rub("1"), reason="half of it came", request_id="req_1")
            except OperationEnded as ended:
                return ended.code
            return "settled"

        *said, _, _ = await asyncio.gather(
            *(decided(hold) for _, _, hold in lost), streams.settle(), wallets.service.sweep()
        )

        left = [(await wallets.balance(wallet)).available for wallet, _, _ in lost]
        assert left == [rub("9") if word == "settled" else rub("8") for word in said]

    async def test_a_refused_release_leaves_the_checkpoint_to_the_job(
        self, desk: HoldDesk, streams: AbandonedStreams, wallets: Wallets, finance: Customer
    ) -> None:
        wallet, _, hold = await self.lost(wallets)
        wallets.clock.move(TTL)
        await wallets.service.sweep()

        with pytest.raises(OperationEnded):
            await desk.release(finance.principal, hold, reason="nothing came", request_id="req_1")
        await streams.settle()

        assert (await wallets.balance(wallet)).available == rub("8")


class TestWhoMay:
    @pytest.mark.parametrize("role", [OperatorRole.SUPPORT, OperatorRole.AUDITOR])
    async def test_those_who_only_read_may_look_and_not_act(
        self, desk: HoldDesk, wallets: Wallets, town: Town, role: OperatorRole
    ) -> None:
        reader = (await town.customer(operator_role=role)).principal
        hold = await hold_of(wallets, wallet := await wallets.with_paid("10"), await wallets.hold(wallet, "4"))

        await desk.odd_holds(reader)
        with pytest.raises(Forbidden):
            await desk.settle(reader, hold, rub("1"), reason="because", request_id="req_1")
        with pytest.raises(Forbidden):
            await desk.release(reader, hold, reason="because", request_id="req_1")

    async def test_a_customer_may_not_even_look(self, desk: HoldDesk, town: Town) -> None:
        with pytest.raises(Forbidden):
            await desk.odd_holds((await town.customer()).principal)

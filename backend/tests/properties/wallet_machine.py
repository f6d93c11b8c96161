"""Two wallets of one account, each beside a purse: both are told the same, and must answer and stand the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text

from backend.tests.builders.customers import principal as any_principal
from backend.tests.builders.limits import account_wallet
from backend.tests.builders.usage import usage_event
from backend.tests.builders.wallets import RUB, Wallets
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.fakes.clock import NOON, StoppedClock
from backend.tests.properties.ground import Ground, Tally, deaths
from backend.tests.properties.purse import AHEAD, Place, Purse, RefusedError, Scope, Why
from billing.customers.rules import AccountId
from billing.kit.errors import BillingError
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import BREAKAGE, PROMOTIONS, REVENUE, provider_account
from billing.ledger.invariants import Drift, Extent, LedgerVerifier
from billing.pricing.rules import Unit
from billing.usage.invariants import UsageVerifier
from billing.usage.rules import UsageEvent
from billing.usage.service import UsageService
from billing.wallets.account_wallet import WantedLimits
from billing.wallets.errors import (
    CapExceeded,
    InsufficientFunds,
    MaxReplyCostExceeded,
    MonthlyCapExceeded,
    OperationEnded,
    OperationReused,
)
from billing.wallets.invariants import WalletVerifier
from billing.wallets.models import LotSource
from billing.wallets.rules import OperationId, Spender, WalletId
from billing.wallets.settings import WalletSettings
from billing.wiring.verification import Verification

EUR = Currency("EUR")
ZONE = "Asia/Kolkata"  # always `AHEAD` of UTC
HOLD_TTL = timedelta(seconds=WalletSettings().hold_ttl_seconds)
OVERDUE_AFTER = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)

_CREDITS_MAX = 6  # the more often credit comes in, the less often anything is done with it

counts = st.integers(1, 20)
which = st.integers(0, 3)  # back from the latest
sides = st.sampled_from([0, 0, 0, 1])  # mostly roubles, sometimes euros
# Credit expires on a quarter of an hour or never, so that lots often expire together and at the moment of a jump.
lives = st.sampled_from([None, 1, 2, 4])
# Beyond what is spent and reserved already, so that a cap is near whatever has happened.
rooms = st.sampled_from([None, 0, 1, 4])

_SYSTEM_TOTALS = text(
    """
    SELECT account, -sum(amount_micros) / 1000000 AS units FROM ledger_entries
    WHERE wallet_id IS NULL
      AND transfer_id IN (SELECT transfer_id FROM ledger_entries WHERE wallet_id = :wallet_id)
    GROUP BY account
    """,
)
_REASONS: Mapping[type[BillingError], Why] = {
    InsufficientFunds: Why.FUNDS,
    MaxReplyCostExceeded: Why.REPLY,
    OperationEnded: Why.ENDED,
    OperationReused: Why.REUSED,
}


@dataclass
class Side:
    """A wallet in one currency, and its purse."""

    currency: Currency
    purse: Purse = field(default_factory=lambda: Purse(HOLD_TTL))
    wallet_id: WalletId = field(default_factory=lambda: WalletId(""))
    operations: list[OperationId] = field(default_factory=list)
    transfers: list[tuple[str, int, LotSource, datetime | None]] = field(default_factory=list)

    def money(self, count: int) -> Money:
        """So many whole units."""
        return Money.from_decimal(str(count), self.currency)

    def operation(self, which: int) -> OperationId:
        """One of the latest operations."""
        return self.operations[-1 - which % len(self.operations)]


class WalletMachine(RuleBasedStateMachine):
    """Whatever happens, in whatever order, with whatever deaths of the process between."""

    ground: ClassVar[Ground]
    tally: ClassVar[Tally]

    def __init__(self) -> None:
        super().__init__()
        self.clock = StoppedClock()
        self.wallets: Wallets = build_wallets(self.ground.begin, self.clock, Ids(self.clock))
        self.usage = UsageService(self.ground.begin)
        self.limits = account_wallet(self.wallets)
        self.sides = (Side(RUB), Side(EUR))
        self.account_id = AccountId("")
        self.touched = 0
        self.tally.examples += 1

    # ---- what happens -----------------------------------------------------------------------------------------------

    @initialize(paid=counts, granted=counts, life=lives, holds=st.integers(0, 3), room=rooms)
    def open(self, paid: int, granted: int, life: int | None, holds: int, room: int | None) -> None:
        """Fresh wallets: one with two lots that expire together and calls under way, one with as much for ever."""
        self.account_id = AccountId(self.ground.runner.run(self.wallets.account()))
        for side in self.sides:
            side.wallet_id = self.ground.run(partial(self._opened, side.currency))
        self.credit(0, paid, LotSource.TOPUP, life, None)
        self.credit(0, granted, LotSource.PROMOTION, life, 1)
        # The same name for the same credit in two wallets is two credits.
        transfer_id, count, source, _ = self.sides[0].transfers[0]
        self._credit(self.sides[1], (transfer_id, count, source, None), None)
        self.sides[1].purse.put_in(count, is_granted=False, expires_at=None)
        for _ in range(holds):
            self.hold(0, 1, 0, None)
        self.bound(room, None, None, None)

    @precondition(lambda self: len(self.sides[0].transfers) < _CREDITS_MAX)
    @rule(
        side=sides,
        count=counts,
        source=st.sampled_from([LotSource.TOPUP, LotSource.PROMOTION, LotSource.ADJUSTMENT]),
        life=lives,
        death=deaths,
    )
    def credit(self, side: int, count: int, source: LotSource, life: int | None, death: int | None) -> None:
        """Credit comes in."""
        self.clock.move(timedelta(milliseconds=1))  # so that lots are older and younger
        expires_at = None if life is None else self._next_quarter() + (life - 1) * QUARTER
        one = self._side(side)
        transfer = (self.wallets.ids.new("trf"), count, source, expires_at)
        self._credit(one, transfer, death)
        one.purse.put_in(count, is_granted=source is not LotSource.TOPUP, expires_at=expires_at)
        one.transfers.append(transfer)

    @rule(side=sides, thirds=st.integers(0, 3), beyond=st.sampled_from([0, 0, 0, 1]), death=deaths)
    def hold(self, side: int, thirds: int, beyond: int, death: int | None) -> None:
        """A new operation sets a part of the credit aside, or asks for more than there is."""
        one, operation = self._side(side), self.wallets.operation()
        self._hold(one, operation, one.purse.available(self.clock.now()) * thirds // 3 + beyond, death)
        if operation in one.purse.operations:
            one.operations.append(operation)

    @precondition(lambda self: self.sides[0].operations)
    @rule(which=which, thirds=st.integers(0, 3), beyond=st.sampled_from([0, 0, 1]), death=deaths)
    def extend(self, which: int, thirds: int, beyond: int, death: int | None) -> None:
        """A stream sets more aside, perhaps more than there is, or than it may."""
        one = self._side(0)
        operation, now = one.operation(which), self.clock.now()
        to = one.purse.operations[operation].amount + one.purse.available(now) * thirds // 3 + beyond
        with self.refused_alike(one, lambda: one.purse.extend(operation, to, now), operation):
            self.ground.run(
                lambda uow: self.wallets.service.extend(uow, one.wallet_id, operation, one.money(to)), death=death
            )

    @precondition(lambda self: self.sides[0].operations)
    @rule(which=which, death=deaths)
    def renew(self, which: int, death: int | None) -> None:
        """A stream says that it is alive."""
        one = self._side(0)
        operation, now = one.operation(which), self.clock.now()
        with self.refused_alike(one, lambda: one.purse.renew(operation, now), operation):
            self.ground.run(lambda uow: self.wallets.service.renew(uow, one.wallet_id, operation), death=death)

    @precondition(lambda self: self.sides[0].operations)
    @rule(which=which, thirds=st.integers(0, 3), death=deaths)
    def settle(self, which: int, thirds: int, death: int | None) -> None:
        """An operation used a part of what it set aside."""
        one = self._side(0)
        operation = one.operation(which)
        self._settle(one, operation, one.purse.operations[operation].amount * thirds // 3, death)

    @precondition(lambda self: self.sides[0].operations)
    @rule(which=which, beyond=st.sampled_from([1, 50]), death=deaths)
    def settle_beyond(self, which: int, beyond: int, death: int | None) -> None:
        """An operation used more than it set aside, perhaps more than there is."""
        one = self._side(0)
        operation = one.operation(which)
        self._settle(one, operation, one.purse.operations[operation].amount + beyond, death)

    @precondition(lambda self: self.sides[1].operations)
    @rule(which=which, more=st.integers(-2, 2), death=deaths)
    def settle_in_euros(self, which: int, more: int, death: int | None) -> None:
        """The same in the other wallet."""
        one = self._side(1)
        operation = one.operation(which)
        self._settle(one, operation, max(0, one.purse.operations[operation].amount + more), death)

    @precondition(lambda self: self.sides[0].operations)
    @rule(which=which, death=deaths)
    def release(self, which: int, death: int | None) -> None:
        """An operation delivered nothing."""
        one = self._side(0)
        operation, now = one.operation(which), self.clock.now()
        with self.refused_alike(one, lambda: one.purse.release(operation, now), operation):
            self.ground.run(
                lambda uow: self.wallets.service.release(uow, one.wallet_id, operation, reason="provider_error"),
                death=death,
            )

    @precondition(lambda self: self.sides[0].operations)
    @rule(which=which, what=st.sampled_from(["credit", "hold", "hold more", "settle"]))
    def again(self, which: int, what: str) -> None:
        """What was asked before is asked again; it is answered the same, or refused, and changes nothing."""
        one = self._side(0)
        operation = one.operation(which)
        earlier = one.purse.operations[operation]
        if what == "credit":
            self._credit(one, one.transfers[which % len(one.transfers)], None)
        elif what == "settle" and earlier.charged is not None:
            self._settle(one, operation, earlier.charged, None)
        else:
            self._hold(one, operation, earlier.asked + (what == "hold more"), None)

    @rule(day=rooms, month=rooms, reply=st.sampled_from([None, None, None, 10]), death=deaths)
    def bound(self, day: int | None, month: int | None, reply: int | None, death: int | None) -> None:
        """The owner bounds, frees or bounds anew what may be spent in roubles; a process that dies is asked again."""
        one = self._side(0)
        day, month = self._cap(Scope.DAY, day), self._cap(Scope.MONTH, month)
        wanted = WantedLimits(
            max_reply_cost=None if reply is None else one.money(reply),
            low_balance=None,
            daily_cap=None if day is None else one.money(day),
            monthly_cap=None if month is None else one.money(month),
            members={},
            api_keys={},
        )
        owner = replace(any_principal(), account_id=self.account_id, time_zone=ZONE)
        for _ in range(1 if death is None else 2):
            self.ground.runner.run(self.limits.set_limits(owner, wanted, request_id="req_1"))
        one.purse.bound({Scope.DAY: day, Scope.MONTH: month}, reply, self.clock.now())

    @precondition(lambda self: any(side.purse.overdue(self.clock.now()) for side in self.sides))
    @rule()
    def sweep(self) -> None:
        """The sweeper comes by."""
        self.ground.runner.run(self.wallets.service.sweep())
        for side in self.sides:
            side.purse.sweep(self.clock.now())

    @precondition(lambda self: any(side.purse.has_expired_credit(self.clock.now()) for side in self.sides))
    @rule()
    def expire_credit(self) -> None:
        """The job that books expired credit comes by."""
        self.ground.runner.run(self.wallets.service.expire_credit())
        for side in self.sides:
            side.purse.break_expired(self.clock.now())

    @rule(wait=st.sampled_from(["a second", "a hold", "long past a hold", "a quarter", "midnight", "a month"]))
    def let_time_pass(self, wait: str) -> None:
        """Nobody does anything for so long, or until a moment at which something ends at that very instant."""
        now = self.clock.now()
        self.clock.move(
            {
                "a second": timedelta(seconds=1),
                "a hold": HOLD_TTL,
                "long past a hold": HOLD_TTL + OVERDUE_AFTER * 2,
                "a quarter": self._next_quarter() - now,
                "midnight": _next_midnight(now) - now,
                "a month": timedelta(days=31),
            }[wait]
        )

    @precondition(lambda self: self._held_until() is not None)
    @rule(which=which)
    def let_held_credit_expire(self, which: int) -> None:
        """A stream renews its hold while the credit that it keeps expires, to the instant; then it delivers nothing."""
        self.renew(which, None)
        until = self._held_until()
        assert until is not None, "it was there a moment ago"
        self.clock.move(max(timedelta(0), until - self.clock.now()))
        self.release(which, None)

    # ---- what must be true after every step -------------------------------------------------------------------------

    @invariant()
    def stands_like_the_purse(self) -> None:
        """Every figure that the owner sees is that of the purse, in its own currency (G1, G18)."""
        if not self.account_id:
            return
        self.tally.steps += 1
        now = self.clock.now()
        for side in self.sides:
            balance = self.ground.runner.run(self.wallets.balance(side.wallet_id))
            figures = (balance.paid, balance.granted, balance.held, balance.debt, balance.available)
            expected = (
                side.purse.count(Place.LEFT, is_granted=False, now=now),
                side.purse.count(Place.LEFT, is_granted=True, now=now),
                side.purse.count(Place.HELD),
                side.purse.debt,
                side.purse.available(now),
            )
            assert figures == tuple(side.money(number) for number in expected)
            assert {lot.left.currency for lot in balance.lots} <= {side.currency}

    @invariant()
    def the_books_tell_where_every_coin_went(self) -> None:
        """Revenue and breakage are what was spent, owed and broken; the checker finds no drift of its own (G1-G4)."""
        if not self.account_id:
            return
        side = self.sides[self.touched]
        charged = sum(one.charged or 0 for one in side.purse.operations.values())
        broken = side.purse.count(Place.BROKEN)
        totals, drifts = self.ground.runner.run(self._books(side))
        assert (totals.get(REVENUE, 0), totals.get(BREAKAGE, 0)) == (-charged, -broken)
        overdue = {
            name
            for name in side.purse.overdue(self.clock.now())
            if side.purse.operations[name].expires_at < self.clock.now() - OVERDUE_AFTER
        }
        assert {drift.subject for drift in drifts if drift.subject in side.operations} == overdue
        assert [drift for drift in drifts if drift.invariant != "G2"] == []

    def teardown(self) -> None:
        """What one example leaves open is not the next one's concern."""
        self.clock.move(timedelta(days=1))
        self.ground.runner.run(self.wallets.service.sweep())

    # ---- how it is asked --------------------------------------------------------------------------------------------

    def _cap(self, scope: Scope, room: int | None) -> int | None:
        purse, now = self.sides[0].purse, self.clock.now()
        return None if room is None else purse.spent(scope, now) + purse.reserved(scope, now) + room

    def _held_until(self) -> datetime | None:
        coins = self.sides[0].purse.coins
        return min((coin.expires_at for coin in coins if coin.place is Place.HELD and coin.expires_at), default=None)

    async def _opened(self, currency: Currency, uow: UnitOfWork) -> WalletId:
        return await self.wallets.service.of_account(uow, self.account_id, currency)

    def _side(self, number: int) -> Side:
        self.touched = number
        return self.sides[number]

    def _next_quarter(self) -> datetime:
        return NOON + ((self.clock.now() - NOON) // QUARTER + 1) * QUARTER

    def _credit(self, side: Side, transfer: tuple[str, int, LotSource, datetime | None], death: int | None) -> None:
        transfer_id, count, source, expires_at = transfer
        self.ground.run(
            lambda uow: self.wallets.service.credit(
                uow,
                side.wallet_id,
                side.money(count),
                source=source,
                transfer_id=transfer_id,
                counter_account=PROMOTIONS if source.is_granted else provider_account("yookassa"),
                origin="pay_1",
                expires_at=expires_at,
            ),
            death=death,
        )

    def _hold(self, side: Side, operation: OperationId, count: int, death: int | None) -> None:
        now = self.clock.now()
        with self.refused_alike(side, lambda: side.purse.hold(operation, count, now), operation):
            self.ground.run(
                lambda uow: self.wallets.service.hold(
                    uow, side.wallet_id, side.money(count), operation, spender=Spender(time_zone=ZONE)
                ),
                death=death,
            )

    def _settle(self, side: Side, operation: OperationId, count: int, death: int | None) -> None:
        """Charge and usage event, in one transaction: a process that dies between them has done neither."""
        now, charged = self.clock.now(), side.money(count)
        with self.refused_alike(side, lambda: side.purse.settle(operation, count, now), operation):
            self.ground.run(
                lambda uow: self.wallets.service.settle(uow, side.wallet_id, operation, charged),
                lambda uow: self.usage.record(uow, self._event(side, operation, charged)),
                death=death,
            )

    def _event(self, side: Side, operation: OperationId, charged: Money) -> UsageEvent:
        return usage_event(operation, self.account_id, side.wallet_id, charged, quantities={Unit.OUTPUT: 1})

    async def _books(self, side: Side) -> tuple[dict[str, int], tuple[Drift, ...]]:
        verifiers = (LedgerVerifier(), WalletVerifier(self.clock), UsageVerifier())
        drifts = await Verification(self.ground.snapshot, verifiers).drifts(Extent(side.wallet_id))
        async with self.ground.snapshot() as view:
            rows = await view.connection.execute(_SYSTEM_TOTALS, {"wallet_id": side.wallet_id})
            return {row.account: int(row.units) for row in rows}, drifts

    @contextmanager
    def refused_alike(self, side: Side, purse: Callable[[], None], operation: OperationId) -> Iterator[None]:
        """The purse refuses exactly what the wallet refuses, and for one of its reasons with the same numbers."""
        told: BillingError | None = None
        try:
            yield
        except BillingError as refusal:
            told = refusal
        before = side.purse.operations.get(operation)
        placed_at = self.clock.now() if before is None else before.placed_at
        self._require_same_numbers(side, told, placed_at)
        reasons = _reasons_of(purse)
        assert (told is None) == (not reasons), f"the wallet says {told}, the purse {sorted(reasons)}"
        if told is not None:
            assert (Why.CAP if isinstance(told, CapExceeded) else _REASONS[type(told)]) in reasons

    def _require_same_numbers(self, side: Side, told: BillingError | None, placed_at: datetime) -> None:
        if isinstance(told, InsufficientFunds):
            assert told.available == side.money(side.purse.available(self.clock.now()))
        if isinstance(told, CapExceeded):
            scope = Scope.MONTH if isinstance(told, MonthlyCapExceeded) else Scope.DAY
            numbers = side.purse.spent(scope, placed_at), side.purse.reserved(scope, placed_at)
            assert (told.spent, told.reserved) == tuple(map(side.money, numbers))


def _next_midnight(now: datetime) -> datetime:
    """When the account's next day begins."""
    local = now + AHEAD
    return local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1) - AHEAD


def _reasons_of(purse: Callable[[], None]) -> frozenset[Why]:
    """Why the purse does not do it; nothing, if it has done it."""
    try:
        purse()
    except RefusedError as refusal:
        return refusal.reasons
    return frozenset()

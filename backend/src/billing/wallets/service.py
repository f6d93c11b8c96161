"""Credit comes in, is held, charged, given back: each a participant in the caller's unit of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.money import Currency, CurrencyMismatchError, Money
from billing.kit.round_trips import Sending
from billing.kit.statements import Question, answer, sent, written
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.ledger.chart_of_accounts import BREAKAGE, REVENUE, SystemAccount
from billing.ledger.postings import Entry, Transfer, TransferKind
from billing.ledger.repository import StatementLine
from billing.ledger.service import LedgerService
from billing.wallets import changes, repository
from billing.wallets.alerts import Alert, cap_alerts, low_balance_alerts
from billing.wallets.caps import NO_CAPS, PlanCaps, placed_in, require_within_caps, tightened
from billing.wallets.changes import Ending, Locked, StoredHold
from billing.wallets.counting import lock_counted
from billing.wallets.crediting import credit_details, id_within, require_same_content
from billing.wallets.errors import OperationEnded, OperationReused
from billing.wallets.models import HoldStatus, LotSource
from billing.wallets.movements import Movement, WalletState, book, movement_of
from billing.wallets.repository import DueHold, LotView
from billing.wallets.rules import (
    NOBODY,
    HoldId,
    Lot,
    LotId,
    OperationId,
    Piece,
    Settlement,
    Spender,
    WalletId,
    available,
    available_after,
    plan_hold,
    plan_settlement,
    require_within_reply_cost,
    total,
)
from billing.wallets.settings import WalletSettings
from billing.wallets.sweeping import ROUND_MAX, work_through

_log = structlog.get_logger(__name__)

_LOTS_AT_ONCE = 1000
_BREAKAGES_MAX = 100


@dataclass(frozen=True, slots=True)
class Balance:
    """What a wallet holds at this moment; expired credit is never in it. `available` is what a new call can take."""

    wallet_id: WalletId
    currency: Currency
    paid: Money
    granted: Money
    held: Money
    debt: Money
    available: Money
    lots: tuple[LotView, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Credit set aside for one operation until `expires_at`; `available` is what a next hold can take beside it."""

    hold_id: HoldId
    operation_id: OperationId
    amount: Money
    expires_at: datetime
    available: Money


@dataclass(frozen=True, slots=True)
class Charge:
    """What an operation was charged; `debt` is the part that no credit covered."""

    operation_id: OperationId
    charged: Money
    is_late: bool
    debt: Money
    available: Money


@dataclass(frozen=True, slots=True)
class Credited:
    """Credit that came in; `is_new` is False when this transfer was booked before and nothing changed now."""

    transfer_id: str
    amount: Money
    is_new: bool


class WalletService:
    """The wallets of all accounts. Every change locks its wallet's row first, so changes of one wallet queue up."""

    def __init__(
        self, *, begin: Begin, clock: Clock, ids: Ids, ledger: LedgerService, settings: WalletSettings
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._ledger = ledger
        self._settings = settings

    async def of_account(self, uow: UnitOfWork, account_id: str, currency: Currency) -> WalletId:
        """The account's wallet in this currency, opened on first touch; concurrent first touches find the same one."""
        found = await answer(uow, self.wallet_of(account_id, currency))
        return found or await self.open(uow, account_id, currency)

    def wallet_of(self, account_id: str, currency: Currency) -> Question[WalletId | None]:
        """Which is the account's wallet in this currency? None before its first touch."""
        return repository.wallet_of(account_id, currency)

    async def open(self, uow: UnitOfWork, account_id: str, currency: Currency) -> WalletId:
        """The account's wallet in this currency, opened if nobody else has opened it meanwhile."""
        wallet_id = WalletId(self._ids.new("wal"))
        await repository.insert_wallet_if_absent(uow, wallet_id, account_id, currency, self._clock.now())
        opened = await answer(uow, self.wallet_of(account_id, currency))
        assert opened is not None, "the wallet was there or is there now"
        return opened

    async def credit(
        self,
        uow: UnitOfWork,
        wallet_id: WalletId,
        amount: Money,
        *,
        source: LotSource,
        transfer_id: str,
        counter_account: SystemAccount,
        origin: str,
        expires_at: datetime | None = None,
        corrects: str | None = None,
    ) -> Credited:
        """Books credit from `counter_account` into a new lot; debt is paid from it first.

        `origin` is the payment or grant that it comes from, `corrects` the transfer that it mends. `transfer_id` is the
        caller's name for this credit within the wallet; the same one again changes nothing.

        Raises:
            TransferIdReused: the wallet has a credit of this id with another content; says which field differs.
            TransferUnknown: there is no transfer to correct.
        """
        assert amount.micros > 0, "credit is a positive amount"
        wallet = (await changes.lock(uow, wallet_id)).wallet
        _require_currency(wallet, amount)
        details = credit_details(source.value, counter_account, amount, expires_at)
        booked_id = id_within(wallet_id, transfer_id)
        booked = await self._ledger.content_of(uow, booked_id)
        if booked is not None:
            require_same_content(booked, transfer_id=transfer_id, origin=origin, corrects=corrects, details=details)
            return Credited(transfer_id, amount, is_new=False)
        if corrects is not None:
            await self._ledger.require_transfer_of(uow, wallet_id, corrects)
        now = self._clock.now()
        paid_debt = min(wallet.debt_micros, amount.micros)
        lot = Lot(LotId(self._ids.new("lot")), source.is_granted, amount.micros - paid_debt, expires_at)
        new_lot = repository.insert_lot(
            lot, wallet_id=wallet_id, source=source, amount_micros=amount.micros, origin=origin, at=now
        )
        incoming = Movement.of_pieces([Piece(lot.lot_id, lot.is_granted, lot.left_micros, expires_at)])
        entries, after = book(wallet, incoming + Movement(owed=-paid_debt), {counter_account: -amount.micros})
        await self._write(
            uow,
            changes.move(after, {}),
            TransferKind.CREDIT,
            origin,
            entries,
            transfer_id=booked_id,
            metadata=details,
            corrects=corrects,
            first=(new_lot,),
        )
        return Credited(transfer_id, amount, is_new=True)

    async def hold(
        self,
        uow: UnitOfWork,
        wallet_id: WalletId,
        at_most: Money,
        operation_id: OperationId,
        *,
        max_reply_cost: Money | None = None,
        spender: Spender | None = None,
        plan_caps: PlanCaps = NO_CAPS,
    ) -> Hold:
        """Sets aside the most that an operation can cost; the same operation again answers its hold.

        `spender` says whose caps count beside the wallet's own, and in which time zone days and months begin;
        `plan_caps` bound the wallet beside its own.

        Raises:
            MaxReplyCostExceeded: it can cost more than the wallet's or the caller's limit for one reply.
            CapExceeded: a cap of wallet, account, member or key has no room for it in the period that is running.
            InsufficientFunds: the credit beyond the debt does not cover it.
            OperationReused: the operation was first held with another amount.
        """
        assert at_most.micros >= 0, "a hold is not negative"
        spender = spender or NOBODY
        now = self._clock.now()
        locked = await lock_counted(uow, wallet_id, operation_id, now=now, spender=spender, plan_caps=plan_caps)
        wallet = locked.wallet
        _require_currency(wallet, at_most)
        free = available(locked.lots, wallet.debt_micros, wallet.currency, now)
        if locked.hold is not None:
            if locked.hold.asked_micros != at_most.micros:
                raise OperationReused(operation_id)
            return _as_hold(locked.hold, free)
        require_within_reply_cost(at_most, (wallet.max_reply_cost, max_reply_cost))
        counters = tightened((cap.counter_at(now, spender.time_zone) for cap in locked.caps), plan_caps)
        require_within_caps(counters, at_most.micros, wallet.currency)
        pieces = plan_hold(locked.lots, wallet.debt_micros, at_most, now)
        stored = StoredHold(
            hold_id=HoldId(self._ids.new("hld")),
            operation_id=operation_id,
            amount_micros=at_most.micros,
            status=HoldStatus.OPEN,
            placed_at=placed_in(counters, now),
            expires_at=self._expiry_from(now),
            charged_micros=None,
            is_charged_late=False,
            reply_limit_micros=None if max_reply_cost is None else max_reply_cost.micros,
            spender=spender,
        )
        entries, after = book(wallet, -Movement.of_pieces(pieces) + Movement(held=total(pieces)), {})
        counted = [counter.after(reserved=at_most.micros) for counter in counters]
        placing = changes.place_hold(after, stored, pieces, counted)
        await self._write(uow, placing, TransferKind.HOLD, operation_id, entries)
        return _as_hold(stored, free - Money(total(pieces), wallet.currency))

    async def extend(
        self, uow: UnitOfWork, wallet_id: WalletId, operation_id: OperationId, to: Money, plan_caps: PlanCaps = NO_CAPS
    ) -> Hold:
        """Lets an open hold grow to `to`, and its lease begin anew; one that has so much already keeps its amount.

        The growth counts in the day and month in which the hold was placed, and refusals speak of the growth.

        Raises:
            OperationEnded: the hold has ended, also by its expiry.
            MaxReplyCostExceeded: beyond the wallet's limit for one reply, or the one that the client gave for this.
            CapExceeded: a cap has no room for the growth.
            InsufficientFunds: the credit beyond the debt does not cover the growth.
        """
        locked = await changes.lock(uow, wallet_id, operation_id, now=self._clock.now())
        wallet, hold, now = locked.wallet, locked.hold, self._clock.now()
        assert hold is not None, f"operation {operation_id} has a hold"
        _require_currency(wallet, to)
        if hold.status is not HoldStatus.OPEN:
            raise OperationEnded(operation_id, hold.status.value)
        growth = Money(max(0, to.micros - hold.amount_micros), wallet.currency)
        pieces: tuple[Piece, ...] = ()
        counters = tightened(locked.counters(), plan_caps)
        if growth.micros:
            client_limit = None if hold.reply_limit_micros is None else Money(hold.reply_limit_micros, wallet.currency)
            require_within_reply_cost(to, (wallet.max_reply_cost, client_limit))
            require_within_caps(counters, growth.micros, wallet.currency)
            pieces = plan_hold(locked.lots, wallet.debt_micros, growth, now)
        grown = replace(
            hold,
            amount_micros=hold.amount_micros + growth.micros,
            first_amount_micros=hold.asked_micros if growth.micros else hold.first_amount_micros,
            expires_at=max(hold.expires_at, self._expiry_from(now)),
        )
        entries, after = book(wallet, -Movement.of_pieces(pieces) + Movement(held=total(pieces)), {})
        counted = [counter.after(reserved=growth.micros) for counter in counters]
        growing = changes.grow_hold(after, grown, pieces, counted)
        await self._write(uow, growing, TransferKind.HOLD, operation_id, entries)
        free = available(locked.lots, wallet.debt_micros, wallet.currency, now)
        return _as_hold(grown, free - Money(total(pieces), wallet.currency))

    async def renew(self, uow: UnitOfWork, wallet_id: WalletId, operation_id: OperationId) -> datetime:
        """Lets the lease of an open hold begin anew and says when it ends; an ended hold keeps its moment."""
        locked = await changes.lock(uow, wallet_id, operation_id, now=self._clock.now())
        hold = locked.hold
        assert hold is not None, f"operation {operation_id} has a hold"
        if hold.status is not HoldStatus.OPEN:
            return hold.expires_at
        renewed = replace(hold, expires_at=max(hold.expires_at, self._expiry_from(self._clock.now())))
        await sent(uow, changes.grow_hold(locked.wallet, renewed, (), ()))
        return renewed.expires_at

    async def settle(self, uow: UnitOfWork, wallet_id: WalletId, operation_id: OperationId, actual: Money) -> Charge:
        """Charges what the operation really cost and gives the rest of its hold back.

        More than the hold is taken from the rest of the credit and then becomes debt. An operation whose hold has
        expired is charged late, once. The same settlement again answers the first charge.

        Raises:
            OperationEnded: the operation was released, or charged another amount.
        """
        assert actual.micros >= 0, "a charge is not negative"
        locked = await changes.lock(uow, wallet_id, operation_id, now=self._clock.now())
        wallet, hold, now = locked.wallet, locked.hold, self._clock.now()
        assert hold is not None, f"operation {operation_id} has a hold"
        _require_currency(wallet, actual)
        if hold.charged_micros is not None:
            if hold.charged_micros != actual.micros:
                raise OperationEnded(operation_id, f"charged {Money(hold.charged_micros, wallet.currency)}")
            free = available(locked.lots, wallet.debt_micros, wallet.currency, now)
            return Charge(operation_id, actual, hold.is_charged_late, Money.zero(wallet.currency), free)
        if hold.status is HoldStatus.RELEASED:
            raise OperationEnded(operation_id, "released without a charge")
        is_late = hold.status is HoldStatus.EXPIRED
        plan = plan_settlement(locked.pieces, locked.lots, actual.micros, now)
        ending = Ending(
            hold_id=hold.hold_id,
            status=hold.status if is_late else HoldStatus.SETTLED,
            at=now,
            charged_micros=actual.micros,
            is_late=is_late,
        )
        kind = TransferKind.LATE_CHARGE if is_late else TransferKind.CHARGE
        after = await self._end(uow, locked, hold, ending, plan, kind)
        free = available_after(locked.lots, plan, after.debt_micros, wallet.currency, now)
        return Charge(operation_id, actual, is_late, Money(plan.debt_micros, wallet.currency), free)

    async def release(self, uow: UnitOfWork, wallet_id: WalletId, operation_id: OperationId, *, reason: str) -> None:
        """Gives the whole hold back: nothing was delivered. Released or expired before: nothing changes.

        Raises:
            OperationEnded: the operation was charged.
        """
        await self._give_back(uow, wallet_id, operation_id, HoldStatus.RELEASED, reason)

    async def sweep(self) -> int:
        """Ends the holds whose time is over, longest overdue first, each in a transaction of its own, four at once.

        Works on 20 000 at the most and says how many they were.

        Raises:
            ExceptionGroup: some could not be ended; all others were.
        """
        now = self._clock.now()

        async def due_after(last: DueHold | None) -> Sequence[DueHold]:
            async with self._begin() as uow:
                return await repository.due_holds(uow, now, ROUND_MAX, after=last)

        async def end(hold: DueHold) -> None:
            async with self._begin() as uow:
                has_ended = await self._give_back(
                    uow, hold.wallet_id, hold.operation_id, HoldStatus.EXPIRED, "expired", only_if_due=True
                )
            if has_ended:
                _log.warning("hold_expired", wallet_id=hold.wallet_id, operation_id=hold.operation_id)

        return await work_through(due_after, end)

    async def expire_credit(self) -> int:
        """Books what is left in expired lots as breakage; says how many wallets had some, 20 000 at the most.

        Raises:
            ExceptionGroup: the books of some wallets could not be written; those of all others were.
        """
        now = self._clock.now()

        async def due_after(last: WalletId | None) -> Sequence[WalletId]:
            async with self._begin() as uow:
                return await repository.wallets_with_expired_credit(uow, now, ROUND_MAX, after=last)

        async def expire(wallet_id: WalletId) -> None:
            for _ in range(_BREAKAGES_MAX):
                async with self._begin() as uow:
                    if not await self._post_breakage(uow, wallet_id, now):
                        return

        return await work_through(due_after, expire)

    async def balance(self, uow: UnitOfWork, wallet_id: WalletId) -> Balance:
        """What the wallet holds now, without credit that has expired, whether it was booked as breakage or not."""
        now = self._clock.now()
        figures = await repository.figures_of(uow, wallet_id, now)
        return Balance(
            wallet_id=wallet_id,
            currency=figures.currency,
            paid=figures.paid,
            granted=figures.granted,
            held=figures.held,
            debt=figures.debt,
            available=figures.available,
            lots=await repository.lot_views(uow, wallet_id, figures.currency, now),
        )

    async def statement(self, uow: UnitOfWork, wallet_id: WalletId, *, limit: int) -> tuple[StatementLine, ...]:
        """The wallet's latest movements as its owner sees them, newest first."""
        return await self._ledger.statement(uow, wallet_id, limit=limit)

    def _expiry_from(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self._settings.hold_ttl_seconds)

    async def _give_back(
        self,
        uow: UnitOfWork,
        wallet_id: WalletId,
        operation_id: OperationId,
        status: HoldStatus,
        reason: str,
        *,
        only_if_due: bool = False,
    ) -> bool:
        locked = await changes.lock(uow, wallet_id, operation_id)
        hold, now = locked.hold, self._clock.now()
        assert hold is not None, f"operation {operation_id} has a hold"
        if hold.charged_micros is not None and status is HoldStatus.RELEASED:
            raise OperationEnded(operation_id, f"charged {Money(hold.charged_micros, locked.wallet.currency)}")
        if hold.status is not HoldStatus.OPEN or (only_if_due and hold.expires_at > now):
            return False
        ending = Ending(hold_id=hold.hold_id, status=status, at=now, reason=reason)
        plan = plan_settlement(locked.pieces, (), 0, now)
        await self._end(uow, locked, hold, ending, plan, _ENDING_KIND[status])
        return True

    async def _end(
        self, uow: UnitOfWork, locked: Locked, hold: StoredHold, ending: Ending, plan: Settlement, kind: TransferKind
    ) -> WalletState:
        """Ends the hold, moves lots, balances, counters and books as the plan says, in one transfer."""
        wallet, given_back = locked.wallet, hold.amount_micros if hold.status is HoldStatus.OPEN else 0
        entries, after = book(wallet, movement_of(plan), {REVENUE: plan.charged_micros, BREAKAGE: total(plan.expired)})
        counters = locked.counters()
        counted = [counter.after(spent=plan.charged_micros, reserved=-given_back) for counter in counters]
        change = changes.end_hold(after, ending, plan.lot_changes(), counted)
        await self._write(uow, change, kind, hold.operation_id, entries)
        alerts = [alert for pair in zip(counters, counted, strict=True) for alert in cap_alerts(*pair, wallet.currency)]
        await self._tell(uow, wallet.wallet_id, (*alerts, *low_balance_alerts(wallet, after)))
        return after

    async def _post_breakage(self, uow: UnitOfWork, wallet_id: WalletId, now: datetime) -> bool:
        """Books a thousand expired lots; says whether there were any."""
        wallet = (await changes.lock(uow, wallet_id, now=now)).wallet
        pieces = await repository.expired_lots(uow, wallet_id, now, _LOTS_AT_ONCE)
        if not pieces:
            return False
        entries, after = book(wallet, -Movement.of_pieces(pieces), {BREAKAGE: total(pieces)})
        change = changes.move(after, {piece.lot_id: (-piece.micros, 0) for piece in pieces})
        await self._write(uow, change, TransferKind.BREAKAGE, wallet_id, entries)
        await self._tell(uow, wallet_id, low_balance_alerts(wallet, after))
        return True

    async def _tell(self, uow: UnitOfWork, wallet_id: WalletId, alerts: Sequence[Alert]) -> None:
        if not alerts:
            return
        events = [(self._ids.new("evt"), alert) for alert in alerts]
        await repository.insert_events(uow, wallet_id, events, at=self._clock.now())

    async def _write(
        self,
        uow: UnitOfWork,
        change: Sending,
        kind: TransferKind,
        reference: str,
        entries: tuple[Entry, ...],
        *,
        transfer_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        corrects: str | None = None,
        first: tuple[Sending, ...] = (),
    ) -> None:
        """Writes `first`, then the change, and books its entries; where nothing moved there is nothing to book."""
        changes = (*first, change)
        if not entries:
            await written(uow, *changes)
            return
        transfer = Transfer(
            transfer_id=transfer_id or self._ids.new("trf"),
            kind=kind,
            occurred_at=self._clock.now(),
            reference=reference,
            entries=entries,
            metadata=metadata or {},
            corrects=corrects,
        )
        if transfer_id is None:
            await self._ledger.post_new(uow, transfer, after=changes)
            return
        is_new = await self._ledger.post(uow, transfer, after=changes)
        assert is_new, f"transfer {transfer.transfer_id} moves money once"


_ENDING_KIND = {HoldStatus.RELEASED: TransferKind.RELEASE, HoldStatus.EXPIRED: TransferKind.EXPIRY}


def _as_hold(stored: StoredHold, free: Money) -> Hold:
    amount = Money(stored.amount_micros, free.currency)
    return Hold(stored.hold_id, stored.operation_id, amount, stored.expires_at, free)


def _require_currency(wallet: WalletState, amount: Money) -> None:
    """An amount of another currency is a bug in the caller (G18)."""
    if amount.currency != wallet.currency:
        raise CurrencyMismatchError(amount.currency, wallet.currency)

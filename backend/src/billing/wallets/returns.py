"""Credit that leaves a wallet because the money behind it goes back: refunds and disputes of what was paid in."""

from __future__ import annotations

from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import DISPUTES, SystemAccount
from billing.ledger.postings import Transfer, TransferKind
from billing.ledger.service import LedgerService
from billing.wallets import changes, repository
from billing.wallets.alerts import low_balance_alerts
from billing.wallets.crediting import id_within, require_same_content
from billing.wallets.movements import Movement, book
from billing.wallets.rules import WalletId, plan_return, total


class WalletReturns:
    """Participants in the unit of work of whoever learns that money went back; each is booked once under its id."""

    def __init__(self, *, clock: Clock, ids: Ids, ledger: LedgerService) -> None:
        self._clock = clock
        self._ids = ids
        self._ledger = ledger

    async def left_of(self, uow: UnitOfWork, wallet_id: WalletId, origin: str) -> Money:
        """What is left to spend of the credit of this origin, unexpired and not kept by open holds.

        The wallet stays locked, so that it is still there when the caller's transaction ends.
        """
        now = self._clock.now()
        locked = await changes.lock(uow, wallet_id, now=now)
        own = await repository.lots_of_origin(uow, wallet_id, origin)
        left = sum(lot.left_micros for lot in locked.lots if lot.lot_id in own and not lot.is_expired(now))
        return Money(left, locked.wallet.currency)

    async def take(
        self,
        uow: UnitOfWork,
        wallet_id: WalletId,
        amount: Money,
        *,
        origin: str,
        transfer_id: str,
        counter_account: SystemAccount,
    ) -> bool:
        """Books the amount to `counter_account`: from the credit of this origin, then from other paid credit, then as
        debt. Credit that was given is not touched. False if this transfer was booked before.

        Raises:
            TransferIdReused: the wallet has a transfer of this id with another content; says which field differs.
        """
        assert amount.micros > 0, "what goes back is a positive amount"
        now = self._clock.now()
        details = {"amount": str(amount), "counter_account": counter_account}
        locked = await changes.lock(uow, wallet_id, now=now)
        booked = await self._ledger.content_of(uow, id_within(wallet_id, transfer_id))
        if booked is not None:
            require_same_content(booked, transfer_id=transfer_id, origin=origin, corrects=None, details=details)
            return False
        own = await repository.lots_of_origin(uow, wallet_id, origin)
        pieces = plan_return(locked.lots, own, amount.micros, now)
        debt = amount.micros - total(pieces)
        movement = -Movement.of_pieces(pieces) + Movement(owed=debt)
        entries, after = book(locked.wallet, movement, {counter_account: amount.micros})
        change = changes.move(after, {piece.lot_id: (-piece.micros, 0) for piece in pieces})
        transfer = Transfer(
            transfer_id=id_within(wallet_id, transfer_id),
            kind=TransferKind.DISPUTE if counter_account == DISPUTES else TransferKind.REFUND,
            occurred_at=now,
            reference=origin,
            entries=entries,
            metadata=details,
        )
        is_new = await self._ledger.post(uow, transfer, after=(change,))
        assert is_new, "the wallet's lock lets nobody else book this id meanwhile"
        alerts = [(self._ids.new("evt"), alert) for alert in low_balance_alerts(locked.wallet, after)]
        await repository.insert_events(uow, wallet_id, alerts, at=now)
        return True

"""What an operator does to a wallet beside giving credit: writes debt off, takes wrongly given credit back."""

from __future__ import annotations

from dataclasses import dataclass

from billing.kit.clock import Clock
from billing.kit.money import Money
from billing.kit.round_trips import Sending
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import ADJUSTMENTS, WRITE_OFF
from billing.ledger.errors import TransferIdReused
from billing.ledger.postings import Entry, Transfer, TransferKind
from billing.ledger.service import LedgerService
from billing.wallets import changes
from billing.wallets.crediting import id_within, require_same_content
from billing.wallets.errors import WriteOffExceedsDebt
from billing.wallets.movements import Movement, book
from billing.wallets.rules import WalletId, plan_settlement


@dataclass(frozen=True, slots=True)
class _Intent:
    """What is to be booked once."""

    kind: TransferKind
    wallet_id: WalletId
    transfer_id: str
    amount: Money
    corrects: str | None = None

    def details(self) -> dict[str, str]:
        """What the books remember beside the entries, which depend on the credit that there was."""
        return {"amount": str(self.amount)}


class WalletAdjustments:
    """Participants in the operator's unit of work; each is booked once under the id that its caller gave it."""

    def __init__(self, *, clock: Clock, ledger: LedgerService) -> None:
        self._clock = clock
        self._ledger = ledger

    async def write_off(self, uow: UnitOfWork, wallet_id: WalletId, amount: Money, *, transfer_id: str) -> bool:
        """Gives up so much of the wallet's debt; False if this transfer was booked before.

        Raises:
            WriteOffExceedsDebt: the wallet owes less than that.
            TransferIdReused: the wallet has a transfer of this id with another content.
        """
        assert amount.micros > 0, "a write-off is a positive amount"
        intent = _Intent(TransferKind.WRITE_OFF, wallet_id, transfer_id, amount)
        wallet = (await changes.lock(uow, wallet_id)).wallet
        if await self._is_booked(uow, intent):
            return False
        if amount.micros > wallet.debt_micros:
            raise WriteOffExceedsDebt(Money(wallet.debt_micros, wallet.currency), amount)
        entries, after = book(wallet, Movement(owed=-amount.micros), {WRITE_OFF: -amount.micros})
        await self._post(uow, intent, entries, changes.move(after, {}))
        return True

    async def take_back(
        self, uow: UnitOfWork, wallet_id: WalletId, amount: Money, *, corrects: str, transfer_id: str
    ) -> bool:
        """Takes back credit that an earlier transfer should not have given; what is spent already becomes debt.

        Answers False if this transfer was booked before.

        Raises:
            TransferUnknown: the wallet has no such transfer to correct.
            TransferIdReused: the wallet has a transfer of this id with another content.
        """
        assert amount.micros > 0, "what is taken back is a positive amount"
        intent = _Intent(TransferKind.ADJUSTMENT, wallet_id, transfer_id, amount, corrects)
        locked = await changes.lock(uow, wallet_id)
        if await self._is_booked(uow, intent):
            return False
        await self._ledger.require_transfer_of(uow, wallet_id, corrects)
        plan = plan_settlement((), locked.lots, amount.micros, self._clock.now())
        movement = -Movement.of_pieces(plan.taken) + Movement(owed=plan.debt_micros)
        entries, after = book(locked.wallet, movement, {ADJUSTMENTS: amount.micros})
        await self._post(uow, intent, entries, changes.move(after, plan.lot_changes()))
        return True

    async def _is_booked(self, uow: UnitOfWork, intent: _Intent) -> bool:
        booked = await self._ledger.content_of(uow, id_within(intent.wallet_id, intent.transfer_id))
        if booked is None:
            return False
        if booked.kind != intent.kind:
            raise TransferIdReused(intent.transfer_id, "kind")
        require_same_content(
            booked,
            transfer_id=intent.transfer_id,
            origin=intent.transfer_id,
            corrects=intent.corrects,
            details=intent.details(),
        )
        return True

    async def _post(self, uow: UnitOfWork, intent: _Intent, entries: tuple[Entry, ...], change: Sending) -> None:
        transfer = Transfer(
            transfer_id=id_within(intent.wallet_id, intent.transfer_id),
            kind=intent.kind,
            occurred_at=self._clock.now(),
            reference=intent.transfer_id,
            entries=entries,
            corrects=intent.corrects,
            metadata=intent.details(),
        )
        is_new = await self._ledger.post(uow, transfer, after=(change,))
        assert is_new, "the wallet's lock lets nobody else book this id meanwhile"

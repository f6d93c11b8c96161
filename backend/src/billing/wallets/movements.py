"""How a change of a wallet's balances becomes ledger entries: pure, so that balances and books cannot differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from billing.kit.money import Currency, Money
from billing.ledger.chart_of_accounts import SystemAccount, WalletAccount
from billing.ledger.postings import Entry
from billing.wallets.rules import Piece, Settlement, WalletId, total


@dataclass(frozen=True, slots=True)
class WalletState:
    """A wallet's balances in micros, and the number of its last ledger entry; `debt_micros` is what is owed, ≥ 0."""

    wallet_id: WalletId
    currency: Currency
    paid_micros: int
    granted_micros: int
    held_micros: int
    debt_micros: int
    entry_sequence: int
    max_reply_cost: Money | None
    low_balance_micros: int | None = None

    @property
    def worth_micros(self) -> int:
        """Everything that is not spent yet, also what is held, less what is owed."""
        return self.paid_micros + self.granted_micros + self.held_micros - self.debt_micros


@dataclass(frozen=True, slots=True)
class Movement:
    """Signed changes of the wallet's four accounts; `owed` is positive when debt grows."""

    paid: int = 0
    granted: int = 0
    held: int = 0
    owed: int = 0

    @classmethod
    def of_pieces(cls, pieces: Iterable[Piece]) -> Movement:
        """Credit of these pieces coming in, each to its own kind."""
        kinds = {True: 0, False: 0}
        for piece in pieces:
            kinds[piece.is_granted] += piece.micros
        return cls(paid=kinds[False], granted=kinds[True])

    def __add__(self, other: Movement) -> Movement:
        return Movement(
            paid=self.paid + other.paid,
            granted=self.granted + other.granted,
            held=self.held + other.held,
            owed=self.owed + other.owed,
        )

    def __neg__(self) -> Movement:
        return Movement(paid=-self.paid, granted=-self.granted, held=-self.held, owed=-self.owed)


def movement_of(plan: Settlement) -> Movement:
    """How a settlement changes the wallet's four accounts."""
    released = total(plan.used) + total(plan.returned) + total(plan.expired)
    returned, taken = Movement.of_pieces(plan.returned), Movement.of_pieces(plan.taken)
    return returned + -taken + Movement(held=-released, owed=plan.debt_micros)


def book(
    wallet: WalletState, movement: Movement, system: Mapping[SystemAccount, int]
) -> tuple[tuple[Entry, ...], WalletState]:
    """The entries of this movement against these system accounts, and the wallet as it is afterwards.

    Accounts that do not change get no entry. No entry at all means that nothing moved.
    """
    after = replace(
        wallet,
        paid_micros=wallet.paid_micros + movement.paid,
        granted_micros=wallet.granted_micros + movement.granted,
        held_micros=wallet.held_micros + movement.held,
        debt_micros=wallet.debt_micros + movement.owed,
    )
    changes = (
        (WalletAccount.PAID, movement.paid, after.paid_micros),
        (WalletAccount.GRANTED, movement.granted, after.granted_micros),
        (WalletAccount.HELD, movement.held, after.held_micros),
        (WalletAccount.DEBT, -movement.owed, -after.debt_micros),
    )
    entries: list[Entry] = []
    sequence = wallet.entry_sequence
    for account, amount, balance in changes:
        if amount:
            sequence += 1
            entries.append(Entry(account, amount, wallet.currency, wallet.wallet_id, balance, sequence))
    entries.extend(Entry(account, amount, wallet.currency) for account, amount in system.items() if amount)
    return tuple(entries), replace(after, entry_sequence=sequence)

"""Transfers and entries as values; what cannot be booked cannot be built."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from billing.kit.money import Currency
from billing.ledger.chart_of_accounts import SystemAccount, WalletAccount, is_system_account

_ENTRIES_MIN = 2


class TransferKind(StrEnum):
    """Why money moved."""

    CREDIT = "credit"
    HOLD = "hold"
    CHARGE = "charge"
    LATE_CHARGE = "late_charge"
    RELEASE = "release"
    EXPIRY = "expiry"
    BREAKAGE = "breakage"
    ADJUSTMENT = "adjustment"
    WRITE_OFF = "write_off"
    SALE = "sale"
    REFUND = "refund"
    DISPUTE = "dispute"
    PROVIDER_FEE = "provider_fee"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a transfer: this account changes by this many signed micros.

    Entries on a wallet's account carry the wallet, the balance that the account has afterwards, and the entry's number
    within the wallet; entries on a system account carry none of the three.
    """

    account: WalletAccount | SystemAccount
    amount_micros: int
    currency: Currency
    wallet_id: str | None = None
    balance_after_micros: int | None = None
    sequence: int | None = None

    def __post_init__(self) -> None:
        given = [value is not None for value in (self.wallet_id, self.balance_after_micros, self.sequence)]
        if isinstance(self.account, WalletAccount):
            assert all(given), "an entry on a wallet's account carries wallet, balance and sequence"
        else:
            assert not any(given), "a system account keeps no running balance"
            assert is_system_account(self.account), f"{self.account} is not in the chart of accounts"
        assert self.amount_micros != 0, "an entry moves something"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that moves once: entries that sum to zero in each currency (G1).

    `reference` names what caused it (an operation, a payment). `corrects` names the transfer that this one mends.
    """

    transfer_id: str
    kind: TransferKind
    occurred_at: datetime
    reference: str
    entries: tuple[Entry, ...]
    corrects: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert len(self.entries) >= _ENTRIES_MIN, "money moves in pairs"
        sums: dict[Currency, int] = defaultdict(int)
        for entry in self.entries:
            sums[entry.currency] += entry.amount_micros
        assert not any(sums.values()), f"entries of {self.transfer_id} do not sum to zero: {dict(sums)}"


@dataclass(frozen=True, slots=True)
class BookedContent:
    """What a booked transfer says, in a form that can be compared field by field."""

    kind: str
    reference: str
    corrects: str | None
    metadata: dict[str, str]
    entries: tuple[str, ...]

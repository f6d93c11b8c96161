"""When a credit is one that was booked before: ids belong to their wallet, content is compared field by field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from billing.kit.money import Money
from billing.ledger.chart_of_accounts import SystemAccount
from billing.ledger.errors import TransferIdReused
from billing.ledger.postings import BookedContent
from billing.wallets.rules import WalletId


def id_within(wallet_id: WalletId, transfer_id: str) -> str:
    """The id in the books of what a caller named within its wallet: the same name in two wallets is two transfers."""
    return f"{wallet_id}/{transfer_id}"


def credit_details(
    source: str, counter_account: SystemAccount, amount: Money, expires_at: datetime | None
) -> dict[str, str]:
    """What the books remember of a credit beside its entries, which depend on the debt that there was."""
    return {
        "source": source,
        "counter_account": counter_account,
        "amount": str(amount),
        "expires_at": "" if expires_at is None else expires_at.isoformat(),
    }


def require_same_content(
    booked: BookedContent, *, transfer_id: str, origin: str, corrects: str | None, details: Mapping[str, str]
) -> None:
    """Lets a repetition through.

    Raises:
        TransferIdReused: what is booked under this id says something else; names the first field that differs.
    """
    if booked.reference != origin:
        raise TransferIdReused(transfer_id, "origin")
    if booked.corrects != corrects:
        raise TransferIdReused(transfer_id, "corrects")
    for field, value in details.items():
        if booked.metadata.get(field) != value:
            raise TransferIdReused(transfer_id, field)

"""Which of many wallets have fallen below an amount: one question for whoever watches them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Subquery, select

from billing.wallets.models import WalletRow


def below(watched: Subquery) -> Select[Any]:
    """Of these rows those whose wallet (`wallet_id`) is worth less than their `threshold_micros`, all columns of them.

    Worth is what the low-balance alert goes by: everything that is not spent yet, also what is held, less what is owed.
    The caller gives the order and the limit.
    """
    worth = WalletRow.paid_micros + WalletRow.granted_micros + WalletRow.held_micros - WalletRow.debt_micros
    return (
        select(watched).join(WalletRow, WalletRow.id == watched.c.wallet_id).where(worth < watched.c.threshold_micros)
    )

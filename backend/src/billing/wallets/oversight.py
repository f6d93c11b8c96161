"""What operators look at: the holds that are stuck or odd, and one hold with everything that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.wallets.models import HoldStatus
from billing.wallets.rules import HoldId, OperationId, WalletId

_SHOWN_MAX = 200

_COLUMNS = """
    hold.id, hold.operation_id, hold.wallet_id, wallet.account_id, wallet.currency, hold.status, hold.amount_micros,
    hold.charged_micros, hold.is_charged_late, hold.placed_at, hold.expires_at, hold.ended_at, hold.end_reason,
    hold.person_id, hold.api_key_id,
    EXISTS (
        SELECT FROM ledger_transfers AS transfer
        JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
        WHERE transfer.reference = hold.operation_id AND entry.wallet_id = hold.wallet_id
          AND entry.account = 'wallet.debt' AND entry.amount_micros < 0
    ) AS made_debt
"""

# Both halves read a partial index that has no row of an ordinary hold: what ended as it should is never looked at.
_ODD = text(
    f"""
    SELECT {_COLUMNS} FROM holds AS hold JOIN wallets AS wallet ON wallet.id = hold.wallet_id
    WHERE hold.id IN (
        (
            SELECT id FROM holds WHERE status = 'open' AND (expires_at <= :now OR placed_at <= :long_ago)
            ORDER BY expires_at, id LIMIT :limit
        )
        UNION ALL
        (
            SELECT id FROM holds
            WHERE (status = 'expired' OR charged_micros > amount_micros) AND ended_at >= :since
            ORDER BY ended_at DESC, id LIMIT :limit
        )
    )
    ORDER BY hold.ended_at DESC NULLS FIRST, hold.expires_at, hold.id LIMIT :limit
    """,  # noqa: S608 - put together from constants of this file
)

_WALLET_OF = text("SELECT id FROM wallets WHERE id = (SELECT wallet_id FROM holds WHERE id = :hold_id) FOR UPDATE")

_ONE = text(
    f"""
    SELECT {_COLUMNS} FROM holds AS hold JOIN wallets AS wallet ON wallet.id = hold.wallet_id WHERE hold.id = :hold_id
    """,  # noqa: S608 - put together from constants of this file
)


@dataclass(frozen=True, slots=True)
class WatchedHold:
    """One hold as an operator sees it; `made_debt` when its charge exceeded all credit that there was."""

    hold_id: HoldId
    operation_id: OperationId
    wallet_id: WalletId
    account_id: str
    status: HoldStatus
    amount: Money
    charged: Money | None
    is_charged_late: bool
    made_debt: bool
    placed_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    person_id: str | None
    api_key_id: str | None


class HoldOversight:
    """Reads holds for operators, who act on them through the services that own what a hold belongs to."""

    async def odd_holds(
        self, uow: UnitOfWork, *, now: datetime, open_for: timedelta, since: datetime, limit: int
    ) -> tuple[WatchedHold, ...]:
        """Open holds past their expiry or open for so long, then, newest first, those since that ended oddly: expired,
        charged late, or charged more than they set aside. 200 at the most.
        """
        values = {"now": now, "long_ago": now - open_for, "since": since, "limit": min(limit, _SHOWN_MAX)}
        return tuple(map(_as_watched, await uow.connection.execute(_ODD, values)))

    async def hold(self, uow: UnitOfWork, hold_id: str, *, for_update: bool = False) -> WatchedHold | None:
        """The hold, or None; with `for_update` nobody else changes its wallet until the transaction ends."""
        values: Mapping[str, object] = {"hold_id": hold_id}
        if for_update:  # a statement of its own, so that the next one sees what was committed meanwhile
            await uow.connection.execute(_WALLET_OF, values)
        row = (await uow.connection.execute(_ONE, values)).one_or_none()
        return None if row is None else _as_watched(row)


def _as_watched(row: Row[Any]) -> WatchedHold:
    currency = Currency(row.currency)
    return WatchedHold(
        hold_id=HoldId(row.id),
        operation_id=OperationId(row.operation_id),
        wallet_id=WalletId(row.wallet_id),
        account_id=row.account_id,
        status=HoldStatus(row.status),
        amount=Money(row.amount_micros, currency),
        charged=None if row.charged_micros is None else Money(row.charged_micros, currency),
        is_charged_late=row.is_charged_late,
        made_debt=row.made_debt,
        placed_at=row.placed_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
        person_id=row.person_id,
        api_key_id=row.api_key_id,
    )

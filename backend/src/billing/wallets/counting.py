"""Locks a wallet for a new hold, with counters for every cap that bounds it, those of a plan too."""

from __future__ import annotations

from datetime import datetime

from billing.kit.unit_of_work import UnitOfWork
from billing.wallets import changes, repository
from billing.wallets.caps import CapKey, PlanCaps, running_period, uncounted
from billing.wallets.changes import Locked
from billing.wallets.rules import OperationId, Spender, WalletId


async def lock_counted(
    uow: UnitOfWork,
    wallet_id: WalletId,
    operation_id: OperationId,
    *,
    now: datetime,
    spender: Spender,
    plan_caps: PlanCaps,
) -> Locked:
    """The locked wallet. The first hold ever under a plan's cap begins to count, with what was spent before in the
    period that is running; that is a cap of the owner's that bounds nothing.
    """
    locked = await changes.lock(uow, wallet_id, operation_id, now=now, spender=spender)
    scopes = uncounted(locked.caps, plan_caps)
    if not scopes:
        return locked
    keys: list[CapKey] = [(scope, "") for scope in sorted(scopes)]
    await repository.put_caps(uow, wallet_id, dict.fromkeys(keys))
    periods = {key: running_period(key[0], now, spender.time_zone) for key in keys}
    await repository.begin_counting(uow, wallet_id, periods)
    return await changes.lock(uow, wallet_id, operation_id, now=now, spender=spender)

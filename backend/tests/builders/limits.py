"""Wallets whose spending is bounded, and their owners, for tests of caps and alerts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from backend.tests.builders.customers import principal as any_principal
from backend.tests.builders.wallets import RUB, Wallets, rub
from billing.customers.audit import AuditTrail
from billing.customers.directory import AccountDirectory
from billing.customers.rules import AccountId, Principal
from billing.kit.money import Money
from billing.wallets.account_wallet import AccountWallet, CapStanding, Limits, WantedLimits
from billing.wallets.alerts import BillingEvent
from billing.wallets.caps import CapScope
from billing.wallets.rules import OperationId, Spender, WalletId
from billing.wallets.service import Charge, Hold


def wanted(
    *,
    daily: str | None = None,
    monthly: str | None = None,
    reply: str | None = None,
    low: str | None = None,
    members: dict[str, str] | None = None,
    keys: dict[str, str] | None = None,
) -> WantedLimits:
    """Limits in roubles; what is not named is not limited."""
    return WantedLimits(
        max_reply_cost=_rub(reply),
        low_balance=_rub(low),
        daily_cap=_rub(daily),
        monthly_cap=_rub(monthly),
        members={name: rub(amount) for name, amount in (members or {}).items()},
        api_keys={name: rub(amount) for name, amount in (keys or {}).items()},
    )


def account_wallet(wallets: Wallets) -> AccountWallet:
    """The real service over the real database."""
    return AccountWallet(
        begin=wallets.begin,
        clock=wallets.clock,
        ids=wallets.ids,
        audit=AuditTrail(wallets.clock, wallets.ids),
        directory=AccountDirectory(),
        wallets=wallets.service,
        currency=RUB,
    )


@dataclass(frozen=True, slots=True)
class Bounded:
    """A wallet with credit, and its owner, who bounds what may be spent."""

    wallets: Wallets
    desk: AccountWallet
    owner: Principal
    wallet_id: WalletId

    async def limit(self, **limits: object) -> Limits:
        """Puts these limits in force, in roubles."""
        return await self.desk.set_limits(self.owner, wanted(**limits), request_id="req_tests")  # type: ignore[arg-type] # handed on as they are

    async def hold(self, amount: str, *, person: str | None = None, key: str | None = None) -> OperationId:
        """An open hold of a new operation, placed by somebody of the account."""
        operation_id = self.wallets.operation()
        spender = Spender(person, key, self.owner.time_zone)
        async with self.wallets.begin() as uow:
            await self.wallets.service.hold(uow, self.wallet_id, rub(amount), operation_id, spender=spender)
        return operation_id

    async def extend(self, operation_id: OperationId, to: str) -> Hold:
        """Lets a hold grow."""
        async with self.wallets.begin() as uow:
            return await self.wallets.service.extend(uow, self.wallet_id, operation_id, rub(to))

    async def settle(self, operation_id: OperationId, amount: str) -> Charge:
        """Charges an operation."""
        async with self.wallets.begin() as uow:
            return await self.wallets.service.settle(uow, self.wallet_id, operation_id, rub(amount))

    async def release(self, operation_id: OperationId) -> None:
        """Gives a hold back."""
        async with self.wallets.begin() as uow:
            await self.wallets.service.release(uow, self.wallet_id, operation_id, reason="provider_error")

    async def spend(self, amount: str, *, person: str | None = None, key: str | None = None) -> None:
        """A whole call that costs what it held."""
        await self.settle(await self.hold(amount, person=person, key=key), amount)

    async def standing(self, scope: CapScope = CapScope.DAY) -> CapStanding:
        """The one cap of this scope, as its owner sees it."""
        (found,) = [one for one in (await self.desk.limits_of(self.owner)).caps if one.scope is scope]
        return found

    async def used(self, scope: CapScope = CapScope.DAY) -> tuple[Money, Money]:
        """What is spent and reserved of the cap of this scope."""
        standing = await self.standing(scope)
        return standing.spent, standing.reserved

    async def told(self) -> list[BillingEvent]:
        """What the account has been told, in the order in which it happened."""
        page = await self.desk.events_of(self.owner, cursor=None, limit=200)
        return sorted(page.rows, key=lambda event: (event.occurred_at, str(event.payload.get("percent", "")).zfill(3)))


async def bounded(
    wallets: Wallets, paid: str = "1000", *, time_zone: str = "UTC", expires_at: datetime | None = None
) -> Bounded:
    """A new account's wallet with this much credit, and its owner."""
    account_id = AccountId(await wallets.account())
    async with wallets.begin() as uow:
        wallet_id = await wallets.service.of_account(uow, account_id, RUB)
    await wallets.pay_in(wallet_id, paid, expires_at=expires_at)
    owner = replace(any_principal(), account_id=account_id, time_zone=time_zone)
    return Bounded(wallets, account_wallet(wallets), owner, wallet_id)


def _rub(amount: str | None) -> Money | None:
    return None if amount is None else rub(amount)

"""The wallet as the people of its account see it: balance, limits, and what they have been told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from billing.customers.audit import AuditTrail
from billing.customers.directory import AccountDirectory
from billing.customers.rules import AccountId, Permission, Principal, require, require_person
from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.pagination import PAGE_SIZE_MAX, Page, decode_cursor, encode_cursor
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.wallets import repository
from billing.wallets.alerts import BillingEvent, cap_alerts, low_balance_alerts
from billing.wallets.caps import Cap, CapKey, CapScope, Counter, running_period
from billing.wallets.movements import WalletState
from billing.wallets.rules import WalletId
from billing.wallets.service import Balance, WalletService

_WALLET_CAPS = ((CapScope.DAY, ""), (CapScope.MONTH, ""))


@dataclass(frozen=True, slots=True)
class CapStanding:
    """One cap and how much of it is used in the period that is running."""

    scope: CapScope
    subject: str
    cap: Money
    spent: Money
    reserved: Money
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the spending of one wallet; None: nothing does, an amount of zero: nothing may be spent.

    `low_balance` bounds nothing: below it the account is told.
    """

    currency: Currency
    max_reply_cost: Money | None
    low_balance: Money | None
    caps: tuple[CapStanding, ...]


@dataclass(frozen=True, slots=True)
class WantedLimits:
    """All limits as they are to be; a member or key that is not named has no cap of its own any more."""

    max_reply_cost: Money | None
    low_balance: Money | None
    daily_cap: Money | None
    monthly_cap: Money | None
    members: Mapping[str, Money]
    api_keys: Mapping[str, Money]

    def caps(self) -> dict[CapKey, Money]:
        """The caps that are to be, by whose they are."""
        wallet = zip(_WALLET_CAPS, (self.daily_cap, self.monthly_cap), strict=True)
        return {
            **{key: cap for key, cap in wallet if cap is not None},
            **{(CapScope.MEMBER, person_id): cap for person_id, cap in self.members.items()},
            **{(CapScope.KEY, api_key_id): cap for api_key_id, cap in self.api_keys.items()},
        }

    def amounts(self) -> list[Money]:
        """Every amount in it."""
        return [
            *(money for money in (self.max_reply_cost, self.low_balance) if money is not None),
            *self.caps().values(),
        ]


class AccountWallet:
    """Speaks for the one wallet that an account has in the currency of this installation."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        audit: AuditTrail,
        directory: AccountDirectory,
        wallets: WalletService,
        currency: Currency,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._audit = audit
        self._directory = directory
        self._wallets = wallets
        self._currency = currency

    async def balance(self, principal: Principal) -> Balance:
        """What the wallet holds now.

        Raises:
            Forbidden: the caller may not read the account's billing.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            wallet_id = await self._wallets.of_account(uow, principal.account_id, self._currency)
            return await self._wallets.balance(uow, wallet_id)

    async def limits_of(self, principal: Principal) -> Limits:
        """The limits of the caller's account.

        Raises:
            Forbidden: the caller may not read the account's billing.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            wallet_id = await self._wallets.of_account(uow, principal.account_id, self._currency)
            return await self.limits(uow, wallet_id, time_zone=principal.time_zone)

    async def limits(self, uow: UnitOfWork, wallet_id: WalletId, *, time_zone: str = "UTC") -> Limits:
        """The wallet's limits, with what is used of each in the period that is running in the account's time zone."""
        wallet = await repository.read_wallet(uow, wallet_id)
        return self._limits(wallet, await repository.caps_of(uow, wallet_id), time_zone)

    async def set_limits(self, principal: Principal, wanted: WantedLimits, *, request_id: str) -> Limits:
        """Puts all limits in force at once, for every hold that is placed or grows from now on.

        A cap that is new in the middle of a period counts what was spent in it before. What is the same already changes
        nothing and leaves no audit entry.

        Raises:
            Forbidden: the role may not manage the account's billing, or the caller is an API key.
            InvalidInput: another currency, an amount below zero, or somebody who does not belong to the account.
        """
        require_person(principal, Permission.MANAGE_BILLING)  # what bounds a key must not be in its reach
        self._check(wanted)
        async with self._begin() as uow:
            wallet_id = await self._wallets.of_account(uow, principal.account_id, self._currency)
            wallet = await repository.read_wallet(uow, wallet_id, for_update=True)
            caps = await repository.caps_of(uow, wallet_id)
            after = replace(
                wallet,
                max_reply_cost=wanted.max_reply_cost,
                low_balance_micros=None if wanted.low_balance is None else wanted.low_balance.micros,
            )
            await self._require_known(uow, principal.account_id, caps, wanted)
            changed = _changed_caps(caps, wanted.caps())
            if after == wallet and not changed:
                return self._limits(wallet, caps, principal.time_zone)
            await self._write(uow, after, caps, changed, principal.time_zone)
            caps_after = await repository.caps_of(uow, wallet_id)
            await self._tell(uow, (wallet, caps), (after, caps_after), principal.time_zone)
            await self._audit.record(
                uow,
                principal,
                action="limits.changed",
                target=wallet_id,
                before=_as_facts(wallet, caps),
                after=_as_facts(after, caps_after),
                reason="",
                request_id=request_id,
            )
            return self._limits(after, caps_after, principal.time_zone)

    async def events_of(self, principal: Principal, *, cursor: str | None, limit: int) -> Page[BillingEvent]:
        """What the caller's account has been told, newest first.

        Raises:
            Forbidden: the caller may not read the account's billing.
            InvalidInput: the cursor is not one of ours.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            return await self.events(uow, principal.account_id, cursor, limit)

    async def events(
        self, uow: UnitOfWork, account_id: AccountId, cursor: str | None, limit: int
    ) -> Page[BillingEvent]:
        """What the account has been told, newest first, 200 a page at the most.

        Rows are only ever added, each in the transaction that caused it. Whoever delivers them to the outside keeps
        rows of its own about which event went where, and looks for events without one: ids of concurrent transactions
        are not committed in their order, so a remembered position could pass one over.

        Raises:
            InvalidInput: the cursor is not one of ours.
        """
        size = max(1, min(limit, PAGE_SIZE_MAX))
        found = await repository.events_of(uow, account_id, before=decode_cursor(cursor), limit=size + 1)
        return Page(tuple(found[:size]), encode_cursor(found[size - 1].event_id) if len(found) > size else None)

    def _check(self, wanted: WantedLimits) -> None:
        for amount in wanted.amounts():
            if amount.currency != self._currency:
                raise InvalidInput("currency", f"Limits of this wallet are amounts of {self._currency}.")
            if amount.micros < 0:
                raise InvalidInput("amount", "A limit is not below zero.")

    async def _require_known(
        self, uow: UnitOfWork, account_id: AccountId, caps: list[Cap], wanted: WantedLimits
    ) -> None:
        """Whoever had a cap before may keep it after leaving; everybody else must belong to the account."""
        known = {cap.subject for cap in caps}
        await self._directory.require_members(uow, account_id, wanted.members.keys() - known)
        await self._directory.require_api_keys(uow, account_id, wanted.api_keys.keys() - known)

    def _limits(self, wallet: WalletState, caps: list[Cap], time_zone: str) -> Limits:
        now, currency = self._clock.now(), wallet.currency
        return Limits(
            currency=currency,
            max_reply_cost=wallet.max_reply_cost,
            low_balance=None if wallet.low_balance_micros is None else Money(wallet.low_balance_micros, currency),
            caps=tuple(
                _standing(cap.counter_at(now, time_zone), cap.cap_micros, currency)
                for cap in caps
                if cap.cap_micros is not None
            ),
        )

    async def _write(
        self,
        uow: UnitOfWork,
        wallet: WalletState,
        caps: list[Cap],
        changed: Mapping[CapKey, int | None],
        time_zone: str,
    ) -> None:
        now = self._clock.now()
        counted = {cap.key for cap in caps}
        new = {key: running_period(key[0], now, time_zone) for key in changed if key not in counted}
        await repository.update_limits(uow, wallet)
        await repository.put_caps(uow, wallet.wallet_id, changed)
        await repository.begin_counting(uow, wallet.wallet_id, new)

    async def _tell(
        self,
        uow: UnitOfWork,
        before: tuple[WalletState, list[Cap]],
        after: tuple[WalletState, list[Cap]],
        time_zone: str,
    ) -> None:
        now = self._clock.now()
        counters = {cap.key: cap.counter_at(now, time_zone) for cap in before[1]}
        alerts = low_balance_alerts(before[0], after[0])
        for cap in after[1]:
            alerts += cap_alerts(counters.get(cap.key), cap.counter_at(now, time_zone), self._currency)
        events = [(self._ids.new("evt"), alert) for alert in alerts]
        await repository.insert_events(uow, after[0].wallet_id, events, at=now)


def _changed_caps(caps: list[Cap], wanted: Mapping[CapKey, Money]) -> dict[CapKey, int | None]:
    """The caps that are not yet as they are to be; those that nobody wants any more become None."""
    present = {cap.key: cap.cap_micros for cap in caps}
    micros = {key: cap.micros for key, cap in wanted.items()}
    return {key: micros.get(key) for key in present | micros if micros.get(key) != present.get(key)}


def _standing(counter: Counter, cap_micros: int, currency: Currency) -> CapStanding:
    return CapStanding(
        scope=counter.scope,
        subject=counter.subject,
        cap=Money(cap_micros, currency),
        spent=Money(counter.spent_micros, currency),
        reserved=Money(counter.reserved_micros, currency),
        resets_at=counter.period.ends_at,
    )


def _as_facts(wallet: WalletState, caps: list[Cap]) -> dict[str, object]:
    """The limits as the audit trail keeps them."""
    low = wallet.low_balance_micros
    return {
        "currency": wallet.currency,
        "max_reply_cost": None if wallet.max_reply_cost is None else wallet.max_reply_cost.to_decimal(),
        "low_balance": None if low is None else Money(low, wallet.currency).to_decimal(),
        "caps": {
            f"{cap.scope}:{cap.subject}".rstrip(":"): Money(cap.cap_micros, wallet.currency).to_decimal()
            for cap in caps
            if cap.cap_micros is not None
        },
    }

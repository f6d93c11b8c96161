"""Automatic top-ups as their owners see them: what they agreed to, how it stands, and turning it off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from billing.customers.audit import AuditTrail
from billing.customers.rules import Permission, Principal, require, require_person
from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import auto_topups_repository as repository
from billing.payments import methods_repository
from billing.payments.auto_topups_repository import AutoTopup
from billing.payments.auto_topups_rules import AutoTopupTerms, OffReason, Pace, check_terms, pace_when_set
from billing.payments.errors import AutoTopupNotFound, PaymentMethodNotFound, PaymentsNotConfigured
from billing.payments.methods_repository import PaymentMethod
from billing.payments.ports import PaymentProvider
from billing.payments.rules import PaymentId, TopupOffer
from billing.wallets.caps import CapScope, running_period
from billing.wallets.service import WalletService


@dataclass(frozen=True, slots=True)
class AutoTopupStanding:
    """An automatic top-up and how it stands: what the running month has charged, and which one is under way."""

    auto_topup: AutoTopup
    charged: Money
    resets_at: datetime
    in_flight: PaymentId | None


class AutoTopups:
    """What the people of an account decide about its automatic top-up; keys decide nothing, they could be stolen."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        audit: AuditTrail,
        wallets: WalletService,
        provider: PaymentProvider | None,
        offer: TopupOffer,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._audit = audit
        self._wallets = wallets
        self._provider = provider
        self._offer = offer

    async def get(self, principal: Principal) -> AutoTopupStanding:
        """How the caller's automatic top-up stands, on or off.

        Raises:
            Forbidden: the caller may not read the account's billing.
            AutoTopupNotFound: nobody has ever set one up.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            found = await repository.find(uow, principal.account_id)
            if found is None:
                raise AutoTopupNotFound
            return await self._standing(uow, principal, found)

    async def set(
        self, principal: Principal, terms: AutoTopupTerms, *, method_id: str, has_consented: bool, request_id: str
    ) -> AutoTopupStanding:
        """Turns it on with these terms; what is agreed to already changes nothing and leaves no audit entry.

        With a method that was declined before, nothing is tried before the last decline's wait is over.

        Raises:
            Forbidden: the role may not manage the account's billing, or the caller is an API key.
            InvalidInput, TopupAmountNotOffered, TopupCurrencyNotOffered: the terms cannot be kept, or nobody agreed.
            PaymentMethodNotFound: the account has saved no such method with the provider that collects here.
            PaymentsNotConfigured: nobody collects here.
        """
        require_person(principal, Permission.MANAGE_BILLING)
        if not has_consented:
            raise InvalidInput("consent", "Nobody is charged automatically without having agreed to it.")
        check_terms(terms, self._offer)
        async with self._begin() as uow:
            method = await self._chargeable(uow, principal, method_id)
            # Whoever locks the method sees what the last one has written; a removal waits here, too.
            before = await repository.find(uow, principal.account_id, for_update=True)
            if before is not None and _is_agreed(before, terms, method_id):
                return await self._standing(uow, principal, before)
            after = await self._agreed(uow, principal, before, terms, method)
            await repository.put(uow, after)
            await self._audit.record(
                uow,
                principal,
                action="auto_topup.set",
                target=after.agreement_id,
                before=None if before is None else _as_facts(before),
                after=_as_facts(after),
                reason="",
                request_id=request_id,
            )
            return await self._standing(uow, principal, after)

    async def turn_off(self, principal: Principal, *, request_id: str) -> None:
        """Turns it off; the second time, or where there is none, nothing changes.

        One that is under way is not called off, because the provider may have charged it already; one that the provider
        could not be asked for yet is not asked for any more.

        Raises:
            Forbidden: the role may not manage the account's billing, or the caller is an API key.
        """
        require_person(principal, Permission.MANAGE_BILLING)
        async with self._begin() as uow:
            before = await repository.find(uow, principal.account_id, for_update=True)
            now = self._clock.now()
            if not await repository.turn_off(uow, principal.account_id, OffReason.TURNED_OFF, at=now):
                return
            assert before is not None, "what was turned off was there"
            await self._audit.record(
                uow,
                principal,
                action="auto_topup.turned_off",
                target=before.agreement_id,
                before=_as_facts(before),
                after=_as_facts(replace(before, off_reason=OffReason.TURNED_OFF)),
                reason="",
                request_id=request_id,
            )

    async def _chargeable(self, uow: UnitOfWork, principal: Principal, method_id: str) -> PaymentMethod:
        if self._provider is None:
            raise PaymentsNotConfigured
        shop = (self._provider.name, self._provider.shop_id)
        method = await methods_repository.find(uow, principal.account_id, method_id, for_update=True)
        if method is None or method.removed_at is not None or (method.provider, method.shop_id) != shop:
            raise PaymentMethodNotFound(method_id)
        return method

    async def _agreed(
        self,
        uow: UnitOfWork,
        principal: Principal,
        before: AutoTopup | None,
        terms: AutoTopupTerms,
        method: PaymentMethod,
    ) -> AutoTopup:
        now = self._clock.now()
        pace = Pace(0, now)
        if before is not None:
            pace = pace_when_set(before.pace, is_same_method=before.method_id == method.id, now=now)
        return AutoTopup(
            account_id=principal.account_id,
            agreement_id=self._ids.new("agr"),
            wallet_id=await self._wallets.of_account(uow, principal.account_id, terms.amount.currency),
            terms=terms,
            method_id=method.id,
            consent_at=now,
            pace=pace,
            limited_until=None,
            off_reason=None,
        )

    async def _standing(self, uow: UnitOfWork, principal: Principal, auto_topup: AutoTopup) -> AutoTopupStanding:
        currency: Currency = auto_topup.terms.amount.currency
        month = running_period(CapScope.MONTH, self._clock.now(), principal.time_zone)
        return AutoTopupStanding(
            auto_topup=auto_topup,
            charged=await repository.charged_in(uow, principal.account_id, currency, month),
            resets_at=month.ends_at,
            in_flight=await repository.in_flight(uow, principal.account_id, currency),
        )


def _is_agreed(auto_topup: AutoTopup, terms: AutoTopupTerms, method_id: str) -> bool:
    return auto_topup.off_reason is None and (auto_topup.terms, auto_topup.method_id) == (terms, method_id)


def _as_facts(auto_topup: AutoTopup) -> dict[str, object]:
    terms = auto_topup.terms
    return {
        "is_on": auto_topup.off_reason is None,
        "threshold": terms.threshold.to_decimal(),
        "amount": terms.amount.to_decimal(),
        "monthly_limit": terms.monthly_limit.to_decimal(),
        "currency": terms.amount.currency,
        "method_id": auto_topup.method_id,
    }

"""Loads what the pages show, each part by itself, so that one that fails hides no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import structlog

from billing.customers.rules import Permission, Principal, require
from billing.kit.ids import Ids
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin
from billing.ledger.postings import TransferKind
from billing.pages.rules import Advice, is_low, low_balance_advice, read_missing
from billing.pages.views import (
    ActivityListView,
    ActivityView,
    BalancePageView,
    BalanceView,
    ChipView,
    FreeLimitsView,
    NoticeView,
    TopupDraft,
    TopupFormView,
    TopupView,
    Widget,
)
from billing.payments.errors import PaymentNotFound, PaymentsNotConfigured, PaymentUnderReview, ProviderFailure
from billing.payments.service import TopupService
from billing.quotas.service import QuotaService
from billing.usage.service import UsageService
from billing.wallets.service import WalletService

T = TypeVar("T")
_log = structlog.get_logger(__name__)

_ACTIVITY_LENGTH = 10
_CHARGES = frozenset({TransferKind.CHARGE, TransferKind.LATE_CHARGE})


class PagesService:
    """What one customer sees. It changes nothing itself, but for reconciling the customer's own payment."""

    def __init__(
        self,
        *,
        begin: Begin,
        ids: Ids,
        wallets: WalletService,
        quotas: QuotaService,
        usage: UsageService,
        topups: TopupService,
        threshold: Money,
        card_seconds_max: float = 4.0,
    ) -> None:
        self._begin = begin
        self._ids = ids
        self._wallets = wallets
        self._quotas = quotas
        self._usage = usage
        self._topups = topups
        self._threshold = threshold
        self._card_seconds_max = card_seconds_max

    async def balance_page(self, principal: Principal, *, draft: TopupDraft, topup_id: str | None) -> BalancePageView:
        """The whole page, with the top-up form as the customer left it.

        Raises:
            Forbidden: the caller may not read the account's billing.
            PaymentNotFound: `topup_id` is no payment of the caller's account.
        """
        require(principal, Permission.READ_BILLING)
        lacked = read_missing(draft.missing, self._threshold.currency)
        topup = await self._topup_in_books(principal, topup_id)
        balance, free_limits, activity = await asyncio.gather(
            self.balance(principal), self.free_limits(principal), self.activity(principal)
        )
        return BalancePageView(
            balance=balance,
            notice=self._notice(balance.content, free_limits.content, lacked),
            topup=topup,
            topup_id=topup_id,
            form=self._form(principal, draft, lacked),
            free_limits=free_limits,
            activity=activity,
        )

    async def balance(self, principal: Principal) -> Widget[BalanceView]:
        """The wallet's figures."""
        require(principal, Permission.READ_BILLING)
        return await self._attempt("balance", self._load_balance(principal))

    async def free_limits(self, principal: Principal) -> Widget[FreeLimitsView]:
        """The free limits of this cycle."""
        require(principal, Permission.READ_BILLING)
        return await self._attempt("free-limits", self._load_free_limits(principal))

    async def activity(self, principal: Principal) -> Widget[ActivityListView]:
        """The latest top-ups and calls in one list, newest first."""
        require(principal, Permission.READ_BILLING)
        return await self._attempt("activity", self._load_activity(principal))

    async def notice(self, principal: Principal) -> NoticeView | None:
        """The low-balance notice as it is now; None where there is nothing to say, or nothing is known."""
        balance, free_limits = await asyncio.gather(self.balance(principal), self.free_limits(principal))
        return self._notice(balance.content, free_limits.content, None)

    async def topup(self, principal: Principal, payment_id: str) -> Widget[TopupView]:
        """Exactly this payment, after asking the provider about it; what our books say where it does not answer.

        Raises:
            PaymentNotFound: it is no payment of the caller's account.
        """
        require(principal, Permission.READ_BILLING)
        return await self._attempt("topup", self._reconciled(principal, payment_id))

    def chip(self, balance: Widget[BalanceView]) -> ChipView | None:
        """The balance in the header; without a balance there is none."""
        if balance.content is None:
            return None
        return ChipView(balance.content.available, is_low(balance.content.available, self._threshold))

    def _notice(
        self, balance: BalanceView | None, free_limits: FreeLimitsView | None, missing: Money | None
    ) -> NoticeView | None:
        if balance is None:
            return None
        advice = low_balance_advice(
            available=balance.available,
            threshold=self._threshold,
            missing=missing,
            free_usage=free_limits.free_usage if free_limits else None,
        )
        if advice is Advice.NONE:
            return None
        return NoticeView(advice, missing, has_spent_all=balance.available.micros == 0)

    def _form(self, principal: Principal, draft: TopupDraft, missing: Money | None) -> TopupFormView | None:
        if not principal.may(Permission.MANAGE_BILLING):
            return None
        return TopupFormView.of(self._topups.offer, draft, missing=missing, intent=self._ids.new("int"))

    async def _load_balance(self, principal: Principal) -> BalanceView:
        async with self._begin() as uow:
            wallet_id = await self._wallets.of_account(uow, principal.account_id, self._threshold.currency)
            return BalanceView.of(await self._wallets.balance(uow, wallet_id))

    async def _load_free_limits(self, principal: Principal) -> FreeLimitsView:
        async with self._begin() as uow:
            return FreeLimitsView.of(await self._quotas.standing(uow, principal.account_id))

    async def _load_activity(self, principal: Principal) -> ActivityListView:
        async with self._begin() as uow:
            wallet_id = await self._wallets.of_account(uow, principal.account_id, self._threshold.currency)
            transfers = await self._wallets.statement(uow, wallet_id, limit=_ACTIVITY_LENGTH)
            events = await self._usage.recent(uow, principal.account_id, _ACTIVITY_LENGTH)
        # Each charge has its usage event (G4), which says more; showing both would look like paying twice.
        lines = [
            ActivityView.of_transfer(
                line.kind,
                line.occurred_at,
                line.amount,
                name=line.transfer_id.removeprefix(f"{wallet_id}/"),
                reference=line.reference,
            )
            for line in transfers
            if line.kind not in _CHARGES
        ]
        lines += [ActivityView.of_call(event) for event in events]
        lines.sort(key=lambda line: line.at, reverse=True)
        return ActivityListView(tuple(lines[:_ACTIVITY_LENGTH]))

    async def _topup_in_books(self, principal: Principal, topup_id: str | None) -> Widget[TopupView] | None:
        if topup_id is None:
            return None
        return await self._attempt("topup", self._in_books(principal, topup_id))

    async def _in_books(self, principal: Principal, topup_id: str) -> TopupView:
        return TopupView.of(await self._topups.get(principal, topup_id))

    async def _reconciled(self, principal: Principal, payment_id: str) -> TopupView:
        try:
            return TopupView.of(await self._topups.reconcile(principal, payment_id))
        except (PaymentUnderReview, ProviderFailure, PaymentsNotConfigured) as failure:
            # Our books say what is known. The page goes on asking, and without it the webhook finishes the payment.
            _log.warning("topup_not_reconciled", payment_id=payment_id, code=failure.code)
            return TopupView.of(await self._topups.get(principal, payment_id))

    async def _attempt(self, card: str, load: Awaitable[T]) -> Widget[T]:
        """The error boundary of one card: a failure or a hang becomes this card's state, with its trace in the log."""
        try:
            async with asyncio.timeout(self._card_seconds_max):
                return Widget(await load)
        except PaymentNotFound:
            # Not a failure: the page itself is not this customer's to see.
            raise
        except Exception:  # noqa: BLE001 - whatever broke, the other cards must not (a boundary, not a way to go on)
            _log.exception("card_failed", card=card)
            return Widget(None)

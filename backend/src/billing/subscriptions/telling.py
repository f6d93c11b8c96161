"""What accounts are told about their plan, beside everything else that they are told about their money."""

from __future__ import annotations

from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork
from billing.subscriptions import repository
from billing.subscriptions.repository import Renewal
from billing.subscriptions.rules import Grant, place_of
from billing.wallets.alerts import EventKind
from billing.wallets.events import BillingEvents
from billing.wallets.service import WalletService


class Telling:
    """Records events of subscriptions in the transaction that causes them."""

    def __init__(self, *, events: BillingEvents, wallets: WalletService) -> None:
        self._events = events
        self._wallets = wallets

    async def tell(
        self, uow: UnitOfWork, account_id: AccountId, kind: EventKind, grant: Grant, *, subject: str
    ) -> None:
        """Tells of a period, once for each subject."""
        terms, span = grant.plan.terms, grant.span
        wallet_id = await self._wallets.of_account(uow, account_id, terms.price.currency)
        payload = {
            "plan": terms.code,
            "price": terms.price.to_decimal(),
            "currency": terms.price.currency,
            "payment_id": grant.payment_id,
            "starts_at": span.starts_at.isoformat(),
            "ends_at": span.ends_at.isoformat(),
        }
        await self._events.record(uow, wallet_id, kind, subject=subject, payload=payload)

    async def tell_of_renewal(self, uow: UnitOfWork, kind: EventKind, renewal: Renewal) -> None:
        """Tells what became of an automatic payment, once for each renewal and series of attempts at it."""
        plan = await repository.plan_with_id(uow, renewal.plan_id)
        assert plan is not None, "plans are never deleted"
        terms = plan.terms
        series, attempts = place_of(renewal.attempt)
        wallet_id = await self._wallets.of_account(uow, renewal.account_id, terms.price.currency)
        payload = {
            "plan": terms.code,
            "price": terms.price.to_decimal(),
            "currency": terms.price.currency,
            "attempts": attempts,
            "ends_at": renewal.starts_at.isoformat(),
        }
        subject = renewal.id if series == 1 else f"{renewal.id}/{series}"
        await self._events.record(uow, wallet_id, kind, subject=subject, payload=payload)

"""Ways to pay that were saved with their owners' consent: kept when the provider says so, listed, removed."""

from __future__ import annotations

from billing.customers.audit import AuditTrail
from billing.customers.rules import Permission, Principal, require
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import auto_topups_repository, methods_repository
from billing.payments.errors import PaymentMethodNotFound
from billing.payments.methods_repository import PaymentMethod
from billing.payments.ports import MethodRef, ProviderMethod
from billing.payments.records import Payment

_TITLE_MAX = 64
_UNTITLED = "Saved method"


class SavedMethods:
    """Keeps what customers agreed to have kept, and forgets it when they say so."""

    def __init__(self, *, begin: Begin, clock: Clock, ids: Ids, audit: AuditTrail) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._audit = audit

    async def kept(self, uow: UnitOfWork, payment: Payment, method: ProviderMethod) -> None:
        """Keeps the method with which this payment succeeded, if its owner agreed and the provider has saved it.

        The consent is of the moment at which the payment was asked for. The same payment again changes nothing, also
        after its owner has removed the method.
        """
        if not (payment.saves_method and method.is_saved):
            return
        await methods_repository.put(
            uow,
            self._ids.new("pmt"),
            payment,
            ref=MethodRef(method.id, method.customer),
            title=shown_title(method.title),
            consent_at=payment.created_at,
        )

    async def methods_of(self, principal: Principal) -> tuple[PaymentMethod, ...]:
        """What the caller's account has saved and not removed, newest first, a hundred at the most.

        Raises:
            Forbidden: the caller may not read the account's billing.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            return await methods_repository.methods_of(uow, principal.account_id)

    async def remove(self, principal: Principal, method_id: str, *, request_id: str) -> None:
        """Takes the consent back: the method is never charged again; the second time changes nothing.

        An automatic top-up that pays with it is turned off with it. What the provider has begun to charge is not called
        off; what it could not be asked for yet is not asked for any more.

        Raises:
            Forbidden: the caller may not manage the account's billing.
            PaymentMethodNotFound: there is none of this id, or it is somebody else's.
        """
        require(principal, Permission.MANAGE_BILLING)
        async with self._begin() as uow:
            method = await methods_repository.find(uow, principal.account_id, method_id, for_update=True)
            if method is None:
                raise PaymentMethodNotFound(method_id)
            if method.removed_at is not None:
                return
            now = self._clock.now()
            await methods_repository.mark_removed(uow, method.id, at=now)
            await auto_topups_repository.turn_off_those_with(uow, method.id, at=now)
            await self._audit.record(
                uow,
                principal,
                action="payment_method.removed",
                target=method.id,
                before={"title": method.title, "consent_at": method.consent_at.isoformat()},
                after=None,
                reason="",
                request_id=request_id,
            )


def shown_title(title: str) -> str:
    """The provider's name for the method, such as "Bank card *4444", made harmless to show."""
    printable = "".join(letter for letter in title if letter.isprintable()).strip()
    return printable[:_TITLE_MAX] or _UNTITLED

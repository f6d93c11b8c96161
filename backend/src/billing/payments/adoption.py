"""Makes a payment of ours from one that the provider has and we lost, as after the restore of a backup."""

from __future__ import annotations

from dataclasses import dataclass

from billing.customers.rules import AccountId
from billing.customers.service import CustomersService
from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.money import Money
from billing.kit.public_address import PublicAddress
from billing.kit.unit_of_work import UnitOfWork
from billing.payments import repository
from billing.payments.comparison import Difference, DifferenceKind, names_one_of_ours
from billing.payments.errors import DifferenceNotAdoptable, PaymentsNotConfigured
from billing.payments.ports import PaymentProvider, ProviderPayment
from billing.payments.provider_states import Outcome, Picture, ProviderStates
from billing.payments.records import Payment
from billing.payments.rules import (
    AUTO_TOPUP,
    SUBSCRIPTION,
    TOPUP,
    Actor,
    PaymentId,
    PaymentState,
    ProviderPaymentId,
    ProviderStatus,
)

_PURPOSES = frozenset({TOPUP, AUTO_TOPUP, SUBSCRIPTION})
_RETURN_PATH = "/billing/balance"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose payment it is and what for, as we once gave it along, in words that our rows can have."""

    payment_id: PaymentId
    account_id: AccountId
    purpose: str


class Adoption:
    """The row is made from the provider's own object, read back; what follows from it is booked like any other news."""

    def __init__(
        self,
        *,
        clock: Clock,
        provider: PaymentProvider | None,
        states: ProviderStates,
        customers: CustomersService,
        public: PublicAddress,
    ) -> None:
        self._clock = clock
        self._provider = provider
        self._states = states
        self._customers = customers
        self._public = public

    async def look(self, difference: Difference) -> Picture:
        """What the provider says now about the object of this difference; no transaction is open.

        Raises:
            DifferenceNotAdoptable: it is no payment that we lack.
            PaymentsNotConfigured, ProviderFailure: the provider could not be asked.
        """
        if difference.kind is not DifferenceKind.MISSING_HERE:
            raise DifferenceNotAdoptable(difference.object_id, "Only a payment that is missing here can be adopted.")
        provider = self._configured()
        seen = await provider.get_payment(ProviderPaymentId(difference.object_id))
        if seen.status is not ProviderStatus.SUCCEEDED:
            return Picture(seen)
        return Picture(seen, await provider.refunds_of(seen.id), await provider.disputes_of(seen.id))

    async def adopt(self, uow: UnitOfWork, picture: Picture, *, subject: str | None) -> Payment:
        """Writes the row and books what the picture shows, once: credit, refunds and disputes.

        `subject` says what exactly was paid for where the purpose needs it; the provider does not know that.

        Raises:
            DifferenceNotAdoptable: it names no payment, account or purpose of ours, we have its row, or it is not what
                it claims to be.
            InvalidInput: the subject is nothing that a payment can have.
            TransferIdReused: the books credited it before, with other words; only its row was lost.
        """
        owner = await self._owner_of(uow, picture.payment, subject)
        if await repository.find(uow, owner.payment_id) is not None:
            raise DifferenceNotAdoptable(picture.payment.id, f"There is a row of {owner.payment_id} already.")
        await repository.insert_payment(uow, self._row_of(self._configured(), picture.payment, owner, subject))
        applied = await self._states.apply_provider_state(uow, owner.payment_id, picture, actor=Actor.READ_BACK)
        if applied.outcome is Outcome.CONTRADICTED:
            what = ", ".join(applied.differences)
            raise DifferenceNotAdoptable(picture.payment.id, f"The provider's payment contradicts itself: {what}.")
        return applied.payment

    async def _owner_of(self, uow: UnitOfWork, seen: ProviderPayment, subject: str | None) -> Owner:
        if not names_one_of_ours(seen.payment_id) or seen.account_id is None or seen.purpose not in _PURPOSES:
            raise DifferenceNotAdoptable(seen.id, "The provider's payment does not say whose it is and what for.")
        if (seen.purpose == SUBSCRIPTION) != (subject is not None):
            raise DifferenceNotAdoptable(
                seen.id, "A payment for a plan, and no other, needs a subject: what it paid for."
            )
        if subject is not None and not (subject.isascii() and subject.isprintable()):
            raise InvalidInput("subject", "A subject is printable ASCII.")
        account = await self._customers.account(uow, AccountId(seen.account_id))
        return Owner(PaymentId(str(seen.payment_id)), account.id, seen.purpose)

    def _row_of(self, provider: PaymentProvider, seen: ProviderPayment, owner: Owner, subject: str | None) -> Payment:
        """Shop and kind of money are our own, so that a payment of another shop contradicts the row."""
        now = self._clock.now()
        return Payment(
            id=owner.payment_id,
            account_id=owner.account_id,
            purpose=owner.purpose,
            subject=subject,
            amount=seen.amount,
            provider=provider.name,
            shop_id=provider.shop_id,
            is_test=provider.is_test,
            return_url=self._public.url(_RETURN_PATH),
            is_own_return=True,
            return_to=None,
            state=PaymentState.CREATED,
            provider_payment_id=None,
            confirmation_url=None,
            cancellation=None,
            contradiction=None,
            refunded=Money.zero(seen.amount.currency),
            created_at=min(seen.created_at or now, now),
            next_check_at=now,
        )

    def _configured(self) -> PaymentProvider:
        if self._provider is None:
            raise PaymentsNotConfigured
        return self._provider

"""What payments ask of those for whom they collect: each purpose says what its money buys, and undoes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from billing.customers.rules import AccountId
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.ports import ProviderMethod, ReceiptOrder
from billing.payments.records import Contact, GivenBack, Payment, SavedMethod


class Fulfilment(Protocol):
    """What one purpose does with its payments, in the transaction in which their state changes.

    Every call but `is_wanted` comes once for its cause and under the payment's row lock. The money that comes in is
    booked from the provider's clearing account (`provider_account(payment.provider)`) by whoever fulfils.
    """

    async def is_wanted(self, uow: UnitOfWork, payment: Payment) -> bool:
        """Nobody has taken back what this payment charges a saved method for; asked each time before the provider is.

        Whether the method itself may still be charged is not its question.
        """
        ...

    async def succeeded(self, uow: UnitOfWork, payment: Payment) -> None:
        """The customer's money came, also after the payment was canceled: give what was paid for.

        Raises:
            PaymentUnderReview: the payment does not agree with what it is for; nothing is written then, and a person
                has to look.
        """
        ...

    async def canceled(self, uow: UnitOfWork, payment: Payment) -> None:
        """The payment ended without money; `payment.cancellation` says why."""
        ...

    async def unspent(self, uow: UnitOfWork, payment: Payment) -> Money:
        """How much of it can be given back without taking anything else from the customer."""
        ...

    async def given_back(self, uow: UnitOfWork, payment: Payment, given: GivenBack) -> None:
        """Books `given.amount` from what the payment bought to `given.account`; never refuses, the money is gone."""
        ...

    async def returned(self, uow: UnitOfWork, payment: Payment, given: GivenBack) -> None:
        """Undoes a `given_back`: books the amount from `given.account` to the customer, under its own transfer id."""
        ...


Purposes = Mapping[str, Fulfilment]
"""Who fulfils the payments of each purpose; without an entry a purpose cannot be paid for."""


class Receipts(Protocol):
    """Whether a payment needs a receipt for the tax office (54-FZ), and what it says."""

    async def order_for(
        self, uow: UnitOfWork, account_id: AccountId, *, purpose: str, contact: Contact
    ) -> ReceiptOrder | None:
        """The receipt to order with a new payment; None where none is due.

        Raises:
            BillingError: one is due, and there is no address that it could go to.
        """
        ...


class NoReceipts:
    """Where no receipts are due."""

    async def order_for(
        self, uow: UnitOfWork, account_id: AccountId, *, purpose: str, contact: Contact
    ) -> ReceiptOrder | None:
        """None, ever."""
        del uow, account_id, purpose, contact
        return None


class MethodWarden(Protocol):
    """Knows which saved methods may be charged."""

    async def usable(self, uow: UnitOfWork, account_id: AccountId, method_id: str) -> SavedMethod | None:
        """The account's own method of this id; None where it may not be charged (any more)."""
        ...


class MethodKeeper(Protocol):
    """Keeps what a customer has paid with, where that customer agreed."""

    async def kept(self, uow: UnitOfWork, payment: Payment, method: ProviderMethod) -> None:
        """The provider has kept this method, with the consent that stands on the payment; called when it succeeds."""
        ...


class KeepsNothing:
    """Where no methods are saved."""

    async def kept(self, uow: UnitOfWork, payment: Payment, method: ProviderMethod) -> None:
        """Forgets it."""
        del uow, payment, method

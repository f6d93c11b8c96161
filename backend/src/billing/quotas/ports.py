"""What the free quota needs from outside."""

from __future__ import annotations

from typing import Protocol

from billing.customers.identities import PersonIdentity
from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork


class ModelsOnOffer(Protocol):
    """Knows which models can really be called: the terms may name one that is not served, and promise nothing then."""

    async def models_on_offer(self, uow: UnitOfWork) -> frozenset[str]:
        """The public names of the models that are served and priced now."""
        ...


class People(Protocol):
    """Knows for which person an account stands."""

    async def identity_of(self, uow: UnitOfWork, account_id: AccountId) -> PersonIdentity | None:
        """The person, known by digests only; None for an account without people."""
        ...

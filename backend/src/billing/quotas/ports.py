"""What the free quota needs from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from billing.customers.identities import PersonIdentity
from billing.customers.rules import AccountId
from billing.kit.statements import Question
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.rules import Amounts


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


class PlanQuotas(Protocol):
    """Knows what an account's paid plan adds to its free quota."""

    def quotas_of(self, account_id: str, now: datetime) -> Question[Amounts]:
        """What does the plan add now? Nothing where none runs."""
        ...

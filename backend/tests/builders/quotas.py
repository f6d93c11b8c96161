"""The free quota with people who need no account of their own to be somebody."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from billing.customers.audit import AuditTrail
from billing.customers.identities import PersonIdentity
from billing.customers.rules import AccountId
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.quotas.ports import People
from billing.quotas.service import QuotaService
from billing.quotas.settings import QuotaSettings

FREE_MODEL = "free-model"
TTL = timedelta(seconds=900)


@dataclass(frozen=True)
class Somebody:
    """A verified person behind every account: one each, unless two are said to be the same."""

    same: Mapping[str, str] = field(default_factory=dict)
    are_verified: bool = True

    async def identity_of(self, uow: UnitOfWork, account_id: AccountId) -> PersonIdentity | None:
        """The person, by a digest that only tests use."""
        assert uow.connection is not None
        name = self.same.get(account_id, account_id)
        return PersonIdentity((hashlib.sha256(f"person {name}".encode()).digest(),), self.are_verified)


class OneModel:
    """The one model of these tests can be called."""

    async def models_on_offer(self, uow: UnitOfWork) -> frozenset[str]:
        """That model."""
        assert uow.connection is not None
        return frozenset({FREE_MODEL})


def quota_service(
    begin: Begin, clock: Clock, ids: Ids, *, people: People | None = None, starts_per_network: int = 1_000_000
) -> QuotaService:
    """The real service over the real database."""
    return QuotaService(
        begin=begin,
        clock=clock,
        ids=ids,
        audit=AuditTrail(clock, ids),
        models=OneModel(),
        people=people or Somebody(),
        settings=QuotaSettings(
            BILLING_FREE_RESERVATION_TTL_SECONDS=int(TTL.total_seconds()),
            BILLING_FREE_STARTS_PER_NETWORK=starts_per_network,
        ),
    )

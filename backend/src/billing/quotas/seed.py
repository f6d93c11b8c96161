"""Free terms to begin with: those of a demonstration."""

from __future__ import annotations

from collections.abc import Iterable

from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.rules import Amounts, FreeTerms
from billing.quotas.service import QuotaService


async def seed_demo_terms(uow: UnitOfWork, quotas: QuotaService, eligible_models: Iterable[str]) -> None:
    """Puts the demonstration's terms in force if there are none yet."""
    if await quotas.terms(uow) is None:
        terms = FreeTerms(
            is_enabled=True,
            cycle_days=30,
            limits=Amounts(input_tokens=20_000, output_tokens=20_000),
            eligible_models=frozenset(eligible_models),
        )
        await quotas.set_terms(uow, terms)

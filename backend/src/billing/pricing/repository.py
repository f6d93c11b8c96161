"""The statements over the table of rates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on

from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing.models import RateRow
from billing.pricing.rules import NewRate, Rate, RateId, Unit

MODELS_MAX = 1000


async def effective_rates(
    uow: UnitOfWork, currency: Currency, at: datetime, *, model: str | None = None
) -> list[tuple[str, Rate]]:
    """The rates in force at this moment, of one model or of all, with their models; by model, then by unit."""
    newest = _newest_by_unit(currency, at)
    if model is not None:
        newest = newest.where(RateRow.model == model)
    candidate = newest.subquery()
    # The newest row of a unit may be its withdrawal; an older row must not come back then.
    in_force = select(candidate).where(candidate.c.is_active).order_by(candidate.c.model, candidate.c.unit)
    rows = await uow.connection.execute(in_force.limit(MODELS_MAX * len(Unit)))
    return [(row.model, _as_rate(row)) for row in rows]


async def last_versions(uow: UnitOfWork, models: Sequence[str]) -> dict[tuple[str, str, str], int]:
    """The highest version of each (model, currency, unit) of these models."""
    rows = await uow.connection.execute(
        select(RateRow.model, RateRow.currency, RateRow.unit, func.max(RateRow.version).label("version"))
        .where(RateRow.model.in_(models))
        .group_by(RateRow.model, RateRow.currency, RateRow.unit),
    )
    return {(row.model, row.currency, row.unit): row.version for row in rows}


async def insert_rates(uow: UnitOfWork, rates: Sequence[tuple[RateId, int, NewRate]]) -> None:
    """Writes the rates with their ids and versions."""
    await uow.connection.execute(
        insert(RateRow),
        [
            {
                "id": rate_id,
                "model": rate.model,
                "currency": rate.price.currency,
                "unit": rate.unit.value,
                "price_micros": rate.price.micros,
                "is_free": rate.is_free,
                "is_active": rate.is_active,
                "provider": rate.provider,
                "version": version,
                "effective_from": rate.effective_from,
            }
            for rate_id, version, rate in rates
        ],
    )


def _newest_by_unit(currency: Currency, at: datetime) -> Select[Any]:
    return (
        select(RateRow)
        .where(RateRow.currency == currency, RateRow.effective_from <= at)
        .ext(distinct_on(RateRow.model, RateRow.unit))
        .order_by(RateRow.model, RateRow.unit, RateRow.effective_from.desc(), RateRow.version.desc())
    )


def _as_rate(row: Row[Any]) -> Rate:
    return Rate(
        rate_id=RateId(row.id),
        unit=Unit(row.unit),
        price=Money(row.price_micros, Currency(row.currency)),
        is_free=row.is_free,
        provider=row.provider,
        version=row.version,
        effective_from=row.effective_from,
    )

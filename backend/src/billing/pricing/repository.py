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
from billing.pricing.rules import Modality, NewRate, Rate, RateId, RateKey, Unit

MODELS_MAX = 1000


async def effective_rates(
    uow: UnitOfWork,
    currency: Currency,
    at: datetime,
    *,
    model: str | None = None,
    modality: Modality | None = None,
) -> list[tuple[str, Modality, Rate]]:
    """The rates in force at this moment with their models and modalities, of one or all; by model, modality, unit."""
    newest = _newest_by_unit(currency, at)
    if model is not None:
        newest = newest.where(RateRow.model == model)
    if modality is not None:
        newest = newest.where(RateRow.modality == modality.value)
    candidate = newest.subquery()
    # The newest row of a unit may be its withdrawal; an older row must not come back then.
    in_force = select(candidate).where(candidate.c.is_active).order_by(*_key(candidate.c))
    rows = await uow.connection.execute(in_force.limit(MODELS_MAX * len(Unit)))
    return [(row.model, Modality(row.modality), _as_rate(row)) for row in rows]


async def last_versions(uow: UnitOfWork, models: Sequence[str]) -> dict[RateKey, int]:
    """The highest version of each rate of these models."""
    key = (RateRow.model, RateRow.currency, RateRow.modality, RateRow.unit)
    rows = await uow.connection.execute(
        select(*key, func.max(RateRow.version).label("version")).where(RateRow.model.in_(models)).group_by(*key),
    )
    return {
        RateKey(row.model, Currency(row.currency), Modality(row.modality), Unit(row.unit)): row.version for row in rows
    }


async def insert_rates(uow: UnitOfWork, rates: Sequence[tuple[RateId, int, NewRate]]) -> None:
    """Writes the rates with their ids and versions."""
    await uow.connection.execute(
        insert(RateRow),
        [
            {
                "id": rate_id,
                "model": rate.model,
                "currency": rate.price.currency,
                "modality": rate.priced_modality.value,
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
        .ext(distinct_on(*_key(RateRow)))
        .order_by(*_key(RateRow), RateRow.effective_from.desc(), RateRow.version.desc())
    )


def _key(columns: Any) -> tuple[Any, Any, Any]:
    return columns.model, columns.modality, columns.unit


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

"""The statements over the table of rates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on

from billing.kit.money import Currency, Money
from billing.kit.statements import DriverStatement, Question
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing.models import RateRow
from billing.pricing.rules import (
    Modality,
    Publication,
    PublishedRate,
    Rate,
    RateFilter,
    RateId,
    RateKey,
    Standing,
    Unit,
)

MODELS_MAX = 1000
_CHANGES_LOCK = 0x7261746573


def _key(columns: Any) -> tuple[Any, Any, Any]:
    return columns.model, columns.modality, columns.unit


def _in_force(*conditions: ColumnElement[bool]) -> DriverStatement:
    newest = (
        select(RateRow)
        .where(RateRow.currency == bindparam("currency"), RateRow.effective_from <= bindparam("at"), *conditions)
        .ext(distinct_on(*_key(RateRow)))
        .order_by(*_key(RateRow), RateRow.effective_from.desc(), RateRow.version.desc())
    )
    candidate = newest.subquery()
    # The newest row of a unit may be its withdrawal; an older row must not come back then.
    in_force = select(candidate).where(candidate.c.is_active).order_by(*_key(candidate.c))
    return DriverStatement(in_force.limit(MODELS_MAX * len(Unit)))


_OF_MODEL = RateRow.model == bindparam("model")
_OF_MODALITY = RateRow.modality == bindparam("modality")
# By whether one model is asked for, and whether one modality is.
_IN_FORCE = {
    (False, False): _in_force(),
    (False, True): _in_force(_OF_MODALITY),
    (True, False): _in_force(_OF_MODEL),
    (True, True): _in_force(_OF_MODEL, _OF_MODALITY),
}


def effective_rates(
    currency: Currency, at: datetime, *, model: str | None = None, modality: Modality | None = None
) -> Question[list[tuple[str, Modality, Rate]]]:
    """Which rates are in force at this moment, of one or all models and modalities? By model, modality, unit."""
    values: dict[str, object] = {"currency": currency, "at": at}
    if model is not None:
        values["model"] = model
    if modality is not None:
        values["modality"] = modality.value
    return Question(
        _IN_FORCE[model is not None, modality is not None].filled(**values),
        lambda rows: [(row.model, Modality(row.modality), _as_rate(row)) for row in rows],
    )


async def last_versions(uow: UnitOfWork, models: Sequence[str]) -> dict[RateKey, int]:
    """The highest version of each rate of these models."""
    key = _whole_key()
    rows = await uow.connection.execute(
        select(*key, func.max(RateRow.version).label("version")).where(RateRow.model.in_(models)).group_by(*key),
    )
    return {_key_of(row): row.version for row in rows}


async def lock_changes(uow: UnitOfWork) -> None:
    """One operator changes rates at a time; whoever only reads or charges does not wait."""
    await uow.connection.execute(select(func.pg_advisory_xact_lock(_CHANGES_LOCK)))


async def latest(uow: UnitOfWork, models: Sequence[str] | None = None) -> dict[RateKey, PublishedRate]:
    """The last published rate of each key, in force yet or not, of these models or of all; 1000 models at the most."""
    query = select(RateRow).ext(distinct_on(*_whole_key())).order_by(*_whole_key(), RateRow.version.desc())
    if models is not None:
        query = query.where(RateRow.model.in_(models))
    rows = await uow.connection.execute(query.limit(MODELS_MAX * len(Unit)))
    return {_key_of(row): _as_published(row) for row in rows}


async def by_ids(uow: UnitOfWork, rate_ids: Sequence[str]) -> dict[str, PublishedRate]:
    """The rates with these ids; unknown ids are left out."""
    rows = await uow.connection.execute(select(RateRow).where(RateRow.id.in_(rate_ids)))
    return {row.id: _as_published(row) for row in rows}


async def moments_ahead(uow: UnitOfWork, models: Sequence[str], after: datetime) -> list[tuple[RateKey, datetime]]:
    """When rates of these models come into force that have not yet."""
    rows = await uow.connection.execute(
        select(*_whole_key(), RateRow.effective_from)
        .where(RateRow.model.in_(models), RateRow.effective_from > after)
        .distinct()
        .order_by(*_whole_key(), RateRow.effective_from)
        .limit(MODELS_MAX * len(Unit)),
    )
    return [(_key_of(row), row.effective_from) for row in rows]


async def rates_before(
    uow: UnitOfWork, wanted: RateFilter, at: datetime, *, position: str | None, limit: int
) -> tuple[PublishedRate, ...]:
    """The rates that the filter lets through, with smaller ids than the position, newest first."""
    rows = _by_standing(wanted.standing, at).subquery()
    query = select(rows)
    for column, value in wanted.columns.items():
        query = query.where(rows.c[column] == value)
    if position is not None:
        query = query.where(rows.c.id < position)
    found = await uow.connection.execute(query.order_by(rows.c.id.desc()).limit(limit))
    return tuple(map(_as_published, found))


async def insert_rates(uow: UnitOfWork, publications: Sequence[Publication]) -> None:
    """Writes the rates with their ids and versions."""
    await uow.connection.execute(
        insert(RateRow),
        [
            {
                "id": published.rate_id,
                **_key_columns(published.rate.key),
                "price_micros": published.rate.price.micros,
                "is_free": published.rate.is_free,
                "is_active": published.rate.is_active,
                "provider": published.rate.provider,
                "version": published.version,
                "effective_from": published.rate.effective_from,
            }
            for published in publications
        ],
    )


def _by_standing(standing: Standing, at: datetime) -> Select[Any]:
    """A withdrawal in force is a rate in force too: it says that there is no price."""
    if standing is Standing.ALL:
        return select(RateRow)
    if standing is Standing.SCHEDULED:
        return select(RateRow).where(RateRow.effective_from > at)
    return (
        select(RateRow)
        .where(RateRow.effective_from <= at)
        .ext(distinct_on(*_whole_key()))
        .order_by(*_whole_key(), RateRow.effective_from.desc(), RateRow.version.desc())
    )


def _whole_key() -> tuple[Any, ...]:
    return RateRow.model, RateRow.currency, RateRow.modality, RateRow.unit


def _key_of(row: Any) -> RateKey:
    return RateKey(row.model, Currency(row.currency), Modality(row.modality), Unit(row.unit))


def _key_columns(key: RateKey) -> dict[str, str]:
    return {
        "model": key.model,
        "currency": key.currency,
        "modality": key.modality.value,
        "unit": key.unit.value,
    }


def _as_published(row: Row[Any]) -> PublishedRate:
    return PublishedRate(_key_of(row), _as_rate(row), is_active=row.is_active, recorded_at=row.recorded_at)


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

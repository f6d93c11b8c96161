"""Rates for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from backend.tests.builders.wallets import RUB, rub
from backend.tests.fakes.clock import NOON
from billing.kit.money import Money
from billing.pricing.rules import (
    Modality,
    NewRate,
    PublishedRate,
    Rate,
    RateId,
    RateKey,
    RateSnapshot,
    Unit,
    modality_of,
)


def new_rate(
    model: str, unit: Unit, price: str, *, at: datetime = NOON, is_free: bool = False, is_active: bool = True
) -> NewRate:
    """A rate of so many roubles for a million, to be published."""
    return NewRate(model, unit, rub(price), at, provider="tests", is_free=is_free, is_active=is_active)


def card(model: str, *, price_in: str = "60", price_out: str = "240", at: datetime = NOON) -> tuple[NewRate, NewRate]:
    """What a chat model needs to be called."""
    return new_rate(model, Unit.INPUT, price_in, at=at), new_rate(model, Unit.OUTPUT, price_out, at=at)


def published(
    model: str,
    unit: Unit,
    price: str,
    *,
    at: datetime = NOON,
    version: int = 1,
    is_active: bool = True,
    modality: Modality | None = None,
) -> PublishedRate:
    """A rate as it stands in the books; at a price of zero it is free."""
    money = rub(price)
    rate = Rate(
        rate_id=RateId(f"rat_{unit.value}_{version}"),
        unit=unit,
        price=money,
        is_free=money.micros == 0,
        provider="tests",
        version=version,
        effective_from=at,
    )
    return PublishedRate(RateKey(model, RUB, modality or modality_of(unit), unit), rate, is_active, at)


def snapshot(prices: Mapping[Unit, int], *, at: datetime = NOON) -> RateSnapshot:
    """Rates with these prices in micros; zero means free."""
    rates = {
        unit: Rate(
            rate_id=RateId(f"rat_{unit.value}"),
            unit=unit,
            price=Money(micros, RUB),
            is_free=micros == 0,
            provider="tests",
            version=1,
            effective_from=at,
        )
        for unit, micros in prices.items()
    }
    modality = next((modality_of(unit) for unit in prices if unit is not Unit.REQUEST), Modality.TEXT)
    return RateSnapshot("model", RUB, rates, modality)

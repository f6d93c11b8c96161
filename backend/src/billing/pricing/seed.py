"""Prices to begin with: the models of a demonstration, one for each modality and three for texts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from billing.kit.money import Money, parse_currency
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing.rules import NewRate, Unit
from billing.pricing.service import PricingService

DEMO_SMALL = "demo-small"
DEMO_LARGE = "demo-large"
DEMO_FREE = "demo-free"
DEMO_EMBEDDING = "demo-embedding"
DEMO_IMAGE = "demo-image"
DEMO_SPEECH = "demo-speech"
DEMO_TRANSCRIPTION = "demo-transcription"

# Roubles for one million tokens or characters, for one megapixel, for one second.
_DEMO_PRICES: Mapping[str, Mapping[Unit, str]] = {
    DEMO_SMALL: {Unit.INPUT: "60", Unit.CACHED_INPUT: "15", Unit.OUTPUT: "240"},
    DEMO_LARGE: {Unit.INPUT: "900", Unit.CACHED_INPUT: "225", Unit.OUTPUT: "3600", Unit.REASONING: "3600"},
    DEMO_FREE: {Unit.INPUT: "30", Unit.OUTPUT: "120"},
    DEMO_EMBEDDING: {Unit.EMBEDDING: "8"},
    DEMO_IMAGE: {Unit.IMAGE_PIXELS: "4"},
    DEMO_SPEECH: {Unit.SPEECH_CHARACTERS: "1200"},
    DEMO_TRANSCRIPTION: {Unit.TRANSCRIPTION_MS: "0.5"},
}


def demo_rates(effective_from: datetime) -> tuple[NewRate, ...]:
    """The demonstration's rates in roubles, from this moment on."""
    roubles = parse_currency("RUB")
    return tuple(
        NewRate(model, unit, Money.from_decimal(price, roubles), effective_from, provider="demo")
        for model, prices in _DEMO_PRICES.items()
        for unit, price in prices.items()
    )


async def seed_demo_rates(uow: UnitOfWork, pricing: PricingService, at: datetime) -> None:
    """Publishes the demonstration's rates for those of its models that have none yet; the second time does nothing."""
    priced = {snapshot.model for snapshot in await pricing.price_list(uow, parse_currency("RUB"), at)}
    missing = tuple(rate for rate in demo_rates(at) if rate.model not in priced)
    if missing:
        await pricing.publish(uow, missing)

"""What a quantity costs: a pure function of measured quantities, a snapshot of rates and a discount (G6)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NewType

from billing.kit.money import Currency, Money
from billing.pricing.errors import DiscountRefused, PriceUnknown, RateRefused

RateId = NewType("RateId", str)

_PERCENT_MAX = 100
# Above what anything costs in any currency, and low enough that a day of sound or ten million tokens can be booked.
_PRICE_MICROS_MAX = 10**14
# Nothing that a spreadsheet could take for a formula can be the name of a model or of a provider.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}", re.ASCII)


class Modality(StrEnum):
    """What a model is called for; a model needs a complete set of prices for each of them that it is called for."""

    TEXT = "text"
    EMBEDDINGS = "embeddings"
    IMAGE = "image"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"


class Unit(StrEnum):
    """What is counted. The pools are exclusive: a token, a pixel or a second is in one of them, so priced once."""

    INPUT = "input_tokens"
    CACHED_INPUT = "cached_input_tokens"
    OUTPUT = "output_tokens"
    REASONING = "reasoning_tokens"
    EMBEDDING = "embedding_tokens"
    IMAGE_PIXELS = "image_pixels"
    IMAGE_SMALL = "images_small"
    IMAGE_MEDIUM = "images_medium"
    IMAGE_LARGE = "images_large"
    SPEECH_CHARACTERS = "speech_characters"
    TRANSCRIPTION_MS = "transcription_milliseconds"
    REQUEST = "requests"


# How many of a unit a rate's price buys. It belongs to the unit and is never typed in with a price, so that a price
# per thousand cannot be mistaken for one per million.
PER: Mapping[Unit, int] = {
    Unit.INPUT: 1_000_000,
    Unit.CACHED_INPUT: 1_000_000,
    Unit.OUTPUT: 1_000_000,
    Unit.REASONING: 1_000_000,
    Unit.EMBEDDING: 1_000_000,
    Unit.IMAGE_PIXELS: 1_000_000,
    Unit.IMAGE_SMALL: 1,
    Unit.IMAGE_MEDIUM: 1,
    Unit.IMAGE_LARGE: 1,
    Unit.SPEECH_CHARACTERS: 1_000_000,
    Unit.TRANSCRIPTION_MS: 1_000,
    Unit.REQUEST: 1,
}

# How people speak of quantities, and how many of a unit that is; always whole multiples of what a price is for.
DISPLAY_UNITS: Mapping[Unit, tuple[str, int]] = {
    Unit.INPUT: ("1M tokens", 1_000_000),
    Unit.CACHED_INPUT: ("1M tokens", 1_000_000),
    Unit.OUTPUT: ("1M tokens", 1_000_000),
    Unit.REASONING: ("1M tokens", 1_000_000),
    Unit.EMBEDDING: ("1M tokens", 1_000_000),
    Unit.IMAGE_PIXELS: ("megapixel", 1_000_000),
    Unit.IMAGE_SMALL: ("image up to 512 px a side", 1),
    Unit.IMAGE_MEDIUM: ("image up to 1024 px a side", 1),
    Unit.IMAGE_LARGE: ("larger image", 1),
    Unit.SPEECH_CHARACTERS: ("1M characters", 1_000_000),
    Unit.TRANSCRIPTION_MS: ("minute", 60_000),
    Unit.REQUEST: ("request", 1),
}

# The side in pixels up to which both sides of an image have to go for its class; a larger image is `IMAGE_LARGE`.
IMAGE_CLASS_SIDES: tuple[tuple[Unit, int], ...] = ((Unit.IMAGE_SMALL, 512), (Unit.IMAGE_MEDIUM, 1024))
IMAGE_CLASSES = (Unit.IMAGE_SMALL, Unit.IMAGE_MEDIUM, Unit.IMAGE_LARGE)

UNITS_OF: Mapping[Modality, tuple[Unit, ...]] = {
    Modality.TEXT: (Unit.INPUT, Unit.CACHED_INPUT, Unit.OUTPUT, Unit.REASONING, Unit.REQUEST),
    Modality.EMBEDDINGS: (Unit.EMBEDDING, Unit.REQUEST),
    Modality.IMAGE: (Unit.IMAGE_PIXELS, *IMAGE_CLASSES, Unit.REQUEST),
    Modality.SPEECH: (Unit.SPEECH_CHARACTERS, Unit.REQUEST),
    Modality.TRANSCRIPTION: (Unit.TRANSCRIPTION_MS, Unit.REQUEST),
}
"""What can be priced for each modality; a surcharge per request can stand beside each of them."""

# Any one of these sets is enough to price whatever a call of the modality can use.
_ENOUGH: Mapping[Modality, tuple[tuple[Unit, ...], ...]] = {
    Modality.TEXT: ((Unit.INPUT, Unit.OUTPUT),),
    Modality.EMBEDDINGS: ((Unit.EMBEDDING,),),
    Modality.IMAGE: ((Unit.IMAGE_PIXELS,), IMAGE_CLASSES),
    Modality.SPEECH: ((Unit.SPEECH_CHARACTERS,),),
    Modality.TRANSCRIPTION: ((Unit.TRANSCRIPTION_MS,),),
}
# Without a rate of its own, a special kind of token costs what the plain kind costs.
_PRICED_LIKE = {Unit.CACHED_INPUT: Unit.INPUT, Unit.REASONING: Unit.OUTPUT}
# Before the call nobody knows which kind of token it will use.
_KINDS = ((Unit.INPUT, Unit.CACHED_INPUT), (Unit.OUTPUT, Unit.REASONING))

Quantities = Mapping[Unit, int]


def modality_of(unit: Unit) -> Modality:
    """The one modality that this unit is priced for; a surcharge per request counts as text unless told otherwise."""
    return next(modality for modality, units in UNITS_OF.items() if unit in units)


@dataclass(frozen=True, slots=True)
class RateKey:
    """What has one price at a time."""

    model: str
    currency: Currency
    modality: Modality
    unit: Unit


@dataclass(frozen=True, slots=True)
class NewRate:
    """A rate to be published: what `PER[unit]` of this unit cost from `effective_from` on.

    An inactive rate withdraws the price of its unit from that moment on. `modality` says for which calls a surcharge
    per request is; every other unit has one modality only.
    """

    model: str
    unit: Unit
    price: Money
    effective_from: datetime
    provider: str
    is_free: bool = False
    is_active: bool = True
    modality: Modality | None = None

    @property
    def priced_modality(self) -> Modality:
        """The modality whose price this is part of."""
        return modality_of(self.unit) if self.modality is None else self.modality

    @property
    def key(self) -> RateKey:
        """What it prices."""
        return RateKey(self.model, self.price.currency, self.priced_modality, self.unit)


@dataclass(frozen=True, slots=True)
class Publication:
    """A rate on its way into the books, with its id and its number among the rates of its key."""

    rate_id: RateId
    version: int
    rate: NewRate


@dataclass(frozen=True, slots=True)
class Rate:
    """A published rate; `version` counts the rates of one model, currency, modality and unit from 1."""

    rate_id: RateId
    unit: Unit
    price: Money
    is_free: bool
    provider: str
    version: int
    effective_from: datetime


@dataclass(frozen=True, slots=True)
class PublishedRate:
    """A rate as it stands in the books, in force or not; an inactive one ends the price of its key."""

    key: RateKey
    rate: Rate
    is_active: bool
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class MissingRates:
    """What a served model lacks in one currency.

    `modality` is the one that is priced in part; None where the model has no rate at all, so that nobody knows what
    it is meant for. `units` are what would complete it.
    """

    model: str
    currency: Currency
    modality: Modality | None
    units: tuple[Unit, ...]


class Standing(StrEnum):
    """Which rates of a key are meant: the one in force, those that are still to come, or all that there ever were."""

    IN_FORCE = "in_force"
    SCHEDULED = "scheduled"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class RateFilter:
    """Which rates an operator wants to see; None means any."""

    standing: Standing = Standing.IN_FORCE
    model: str | None = None
    modality: Modality | None = None
    unit: Unit | None = None
    currency: str | None = None
    provider: str | None = None
    is_active: bool | None = None

    @property
    def columns(self) -> Mapping[str, object]:
        """What has to be equal, by column."""
        wanted = {
            "model": self.model,
            "modality": self.modality,
            "unit": self.unit,
            "currency": self.currency,
            "provider": self.provider,
            "is_active": self.is_active,
        }
        return {column: value for column, value in wanted.items() if value is not None}


@dataclass(frozen=True, slots=True)
class RateSnapshot:
    """One model's rates for one modality as they stood at one moment; what is charged by it is never priced again."""

    model: str
    currency: Currency
    rates: Mapping[Unit, Rate]
    modality: Modality = Modality.TEXT

    @property
    def is_complete(self) -> bool:
        """Has what any call of its modality needs."""
        return self.is_complete_for(self.modality)

    def is_complete_for(self, modality: Modality) -> bool:
        """Can price whatever a call of this modality uses."""
        return any(all(unit in self.rates for unit in enough) for enough in _ENOUGH[modality])

    @property
    def in_order(self) -> tuple[Rate, ...]:
        """The rates in the order in which a price list shows them."""
        return tuple(self.rates[unit] for unit in Unit if unit in self.rates)

    @property
    def newest(self) -> Rate:
        """The rate that came into force last."""
        return max(self.rates.values(), key=lambda rate: rate.effective_from)

    @property
    def is_free(self) -> bool:
        """Every unit is free on purpose."""
        return self.is_complete and all(rate.is_free for rate in self.rates.values())

    def rate_of(self, unit: Unit) -> Rate:
        """The rate at which this unit is charged.

        Raises:
            PriceUnknown: it has none.
        """
        rate = self.rates.get(unit) or self.rates.get(_PRICED_LIKE.get(unit, unit))
        if rate is None:
            raise PriceUnknown(self.model, self.currency, self.modality)
        return rate

    def to_json(self) -> dict[str, object]:
        """Everything that is needed to compute the price again, for the usage event."""
        return {
            "model": self.model,
            "currency": self.currency,
            "modality": self.modality.value,
            "rates": [
                {
                    "id": rate.rate_id,
                    "unit": rate.unit.value,
                    "price_micros": rate.price.micros,
                    "per": PER[rate.unit],
                    "is_free": rate.is_free,
                    "provider": rate.provider,
                    "version": rate.version,
                    "effective_from": rate.effective_from.isoformat(),
                }
                for rate in self.rates.values()
            ],
        }


def price_of(quantities: Quantities, snapshot: RateSnapshot, discount_percent: int | Decimal = 0) -> Money:
    """The price of the whole operation: exact until the end, then rounded once, up to the next micro.

    Never negative and never above the price without discount. A request without a surcharge costs nothing by itself;
    anything else that was used and has no rate is refused, never free.

    Raises:
        DiscountRefused: the discount is not from 0 to 100 per cent.
        PriceUnknown: something was used that these rates do not price.
    """
    if not 0 <= discount_percent <= _PERCENT_MAX:
        raise DiscountRefused(discount_percent)
    exact = sum((_exact(quantity, unit, snapshot) for unit, quantity in quantities.items()), Fraction(0))
    return Money(math.ceil(exact * (_PERCENT_MAX - Fraction(discount_percent)) / _PERCENT_MAX), snapshot.currency)


def display_price_of(rate: Rate) -> Money:
    """What the quantity costs in which people speak of the rate's unit; exact."""
    _, quantity = DISPLAY_UNITS[rate.unit]
    return Money(rate.price.micros * (quantity // PER[rate.unit]), rate.price.currency)


def highest_price_of(snapshot: RateSnapshot, quantities: Quantities, discount_percent: int | Decimal = 0) -> Money:
    """The most that these quantities can cost, whichever pools of their kind they turn out to belong to.

    Raises:
        DiscountRefused: the discount is not from 0 to 100 per cent.
        PriceUnknown: something may be used that these rates do not price.
    """
    dearest = dict(quantities)
    for kind in _KINDS:
        quantity = sum(dearest.pop(unit, 0) for unit in kind)
        if quantity:
            dearest[max(kind, key=lambda unit: snapshot.rate_of(unit).price.micros)] = quantity
    return price_of(dearest, snapshot, discount_percent)


def missing_rates(
    models: Iterable[str], currency: Currency, priced: Collection[tuple[str, Modality, Unit]]
) -> list[MissingRates]:
    """What these models lack in this currency, given everything that has a rate in force in it; by model."""
    found = []
    for model in sorted(models):
        begun = {modality for name, modality, _ in priced if name == model}
        if not begun:
            found.append(MissingRates(model, currency, None, ()))
        for modality in sorted(begun):
            units = {unit for name, of, unit in priced if (name, of) == (model, modality)}
            if lacking := _lacking(modality, units):
                found.append(MissingRates(model, currency, modality, lacking))
    return found


def image_quantities(sizes: Sequence[tuple[int, int]], snapshot: RateSnapshot) -> Quantities:
    """What images of these widths and heights count as: pixels where pixels are priced, else images of their class.

    Never both, so that an image is priced once.

    Raises:
        PriceUnknown: neither pixels nor all classes are priced.
    """
    if not snapshot.is_complete_for(Modality.IMAGE):
        raise PriceUnknown(snapshot.model, snapshot.currency, Modality.IMAGE)
    if Unit.IMAGE_PIXELS in snapshot.rates:
        return {Unit.IMAGE_PIXELS: sum(width * height for width, height in sizes)}
    return Counter(_image_class(max(size)) for size in sizes)


def require_meaningful(rate: NewRate) -> None:
    """A zero that somebody forgot to fill in must not give a model away.

    Raises:
        RateRefused: the price is negative or beyond all prices, zero without being called free, or not zero though it
            is called free; the unit is not one of its modality; or a name is none.
    """
    if not (_NAME.fullmatch(rate.model) and _NAME.fullmatch(rate.provider)):
        raise RateRefused(rate.model, rate.unit, "a name is up to 200 letters, digits and ._:/@-, no sign in front")
    if rate.unit not in UNITS_OF[rate.priced_modality]:
        raise RateRefused(rate.model, rate.unit, f"nothing of {rate.priced_modality} is counted so")
    if not 0 <= rate.price.micros <= _PRICE_MICROS_MAX:
        raise RateRefused(rate.model, rate.unit, "a price is never negative, nor above a hundred million")
    if rate.price.micros == 0 and not rate.is_free:
        raise RateRefused(rate.model, rate.unit, "a price of zero has to say that it is free")
    if rate.price.micros > 0 and rate.is_free:
        raise RateRefused(rate.model, rate.unit, "what is free has no price")


def _lacking(modality: Modality, units: set[Unit]) -> tuple[Unit, ...]:
    """The shortest way to a complete set of prices; empty where there is one."""
    lacking = (tuple(unit for unit in enough if unit not in units) for enough in _ENOUGH[modality])
    return min(lacking, key=len)


def _image_class(longer_side: int) -> Unit:
    return next((unit for unit, side_max in IMAGE_CLASS_SIDES if longer_side <= side_max), Unit.IMAGE_LARGE)


def _exact(quantity: int, unit: Unit, snapshot: RateSnapshot) -> Fraction:
    assert quantity >= 0, "nobody uses less than nothing"
    if quantity == 0 or (unit is Unit.REQUEST and unit not in snapshot.rates):
        return Fraction(0)
    return Fraction(quantity * snapshot.rate_of(unit).price.micros, PER[unit])

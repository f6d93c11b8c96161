"""The public price list as its page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Self

from billing.gateway.price_board import PublicPricing
from billing.kit.money import Money
from billing.pricing.rules import DISPLAY_UNITS, Modality, RateSnapshot, Unit, display_price_of
from billing.quotas.rules import FreeStanding


@dataclass(frozen=True, slots=True)
class LineView:
    """One price: of what, how much, for how many."""

    unit: Unit
    price: Money
    per: str


@dataclass(frozen=True, slots=True)
class CardView:
    """One model's prices."""

    model: str
    is_free: bool
    is_recommended: bool
    is_popular: bool
    lines: tuple[LineView, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    """The models that can be called for one thing."""

    modality: Modality
    cards: tuple[CardView, ...]


@dataclass(frozen=True, slots=True)
class FreeOfferView:
    """What is free for a newcomer: limits above zero, and the models that they are for."""

    limits: tuple[tuple[str, int], ...]
    models: tuple[str, ...]

    @classmethod
    def of(cls, standing: FreeStanding) -> Self | None:
        """This offer, or None where nothing is free."""
        if not standing.has_free_model:
            return None
        limits = tuple((part.metric.value, part.limit) for part in standing.metrics if part.limit > 0)
        return cls(limits, standing.eligible_models)


@dataclass(frozen=True, slots=True)
class PriceListView:
    """Everything on the page but the estimator."""

    groups: tuple[GroupView, ...]
    free: FreeOfferView | None
    presets: tuple[Money, ...]
    minimum: Money
    maximum: Money
    is_custom_allowed: bool

    @classmethod
    def of(cls, pricing: PublicPricing) -> Self:
        """This offer, recommended models first."""
        order = {modality: place for place, modality in enumerate(Modality)}
        models = sorted(pricing.models, key=lambda one: (order[one.modality], *_rank(one.model, pricing)))
        groups = groupby(models, key=lambda one: one.modality)
        return cls(
            groups=tuple(
                GroupView(modality, tuple(_card(one, pricing) for one in of_one)) for modality, of_one in groups
            ),
            free=FreeOfferView.of(pricing.free),
            presets=pricing.topups.presets,
            minimum=pricing.topups.minimum,
            maximum=pricing.topups.maximum,
            is_custom_allowed=pricing.topups.is_custom_allowed,
        )


def _rank(model: str, pricing: PublicPricing) -> tuple[int, int, str]:
    return _place(model, pricing.recommended), _place(model, pricing.popular), model


def _place(model: str, names: tuple[str, ...]) -> int:
    return names.index(model) if model in names else len(names)


def _card(snapshot: RateSnapshot, pricing: PublicPricing) -> CardView:
    return CardView(
        model=snapshot.model,
        is_free=snapshot.is_free,
        is_recommended=snapshot.model in pricing.recommended,
        is_popular=snapshot.model in pricing.popular,
        lines=tuple(
            LineView(rate.unit, display_price_of(rate), DISPLAY_UNITS[rate.unit][0]) for rate in snapshot.in_order
        ),
    )

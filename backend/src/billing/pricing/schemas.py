"""What money and prices look like in JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from billing.kit.money import Money, parse_currency
from billing.kit.pagination import Page
from billing.pricing.rate_desk import (
    FIRST_ACTIONS,
    REMARKS_MAX,
    CreateRate,
    ImportPreview,
    SupersedeRate,
    WithdrawRate,
)
from billing.pricing.rules import (
    DISPLAY_UNITS,
    PER,
    MissingRates,
    Modality,
    NewRate,
    Publication,
    PublishedRate,
    Rate,
    RateKey,
    RateSnapshot,
    Unit,
    display_price_of,
)
from billing.pricing.sheets import Action, Change, ImportPlan, Remark


class MoneyIn(BaseModel):
    """An amount from a client: an exact decimal string and its currency."""

    model_config = ConfigDict(extra="forbid")

    amount: str
    currency: str


class MoneyView(BaseModel):
    """An exact decimal string and its currency."""

    amount: str
    currency: str

    @classmethod
    def of(cls, money: Money) -> Self:
        """This amount."""
        return cls(amount=money.to_decimal(), currency=money.currency)


class RateView(BaseModel):
    """A rate as operators see it: what `per` of a unit cost from a moment on. An inactive one ends a price."""

    id: str
    model: str
    modality: Modality
    unit: Unit
    per: int
    price: MoneyView
    is_free: bool
    is_active: bool
    provider: str
    version: int
    effective_from: datetime

    @classmethod
    def of(cls, published: PublishedRate) -> Self:
        """This rate."""
        key, rate = published.key, published.rate
        return cls._of(key, rate, rate_id=rate.rate_id, version=rate.version, is_active=published.is_active)

    @classmethod
    def of_publication(cls, published: Publication) -> Self:
        """This rate, just published."""
        rate = published.rate
        return cls._of(rate.key, rate, rate_id=published.rate_id, version=published.version, is_active=rate.is_active)

    @classmethod
    def _of(cls, key: RateKey, rate: Rate | NewRate, *, rate_id: str, version: int, is_active: bool) -> Self:
        return cls(
            id=rate_id,
            model=key.model,
            modality=key.modality,
            unit=key.unit,
            per=PER[key.unit],
            price=MoneyView.of(rate.price),
            is_free=rate.is_free,
            is_active=is_active,
            provider=rate.provider,
            version=version,
            effective_from=rate.effective_from,
        )


class RatePage(BaseModel):
    """Some rates, newest first, and where the next ones begin."""

    items: list[RateView]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[PublishedRate]) -> Self:
        """This page."""
        return cls(items=[RateView.of(rate) for rate in page.rows], next_cursor=page.next_cursor)


class RateList(BaseModel):
    """The rates that a change has published."""

    items: list[RateView]

    @classmethod
    def of(cls, published: Iterable[Publication]) -> Self:
        """These rates."""
        return cls(items=[RateView.of_publication(one) for one in published])


class MissingRatesView(BaseModel):
    """What a served model lacks; `modality` is null where it has no rate at all."""

    model: str
    currency: str
    modality: Modality | None
    units: list[Unit]


class MissingRatesList(BaseModel):
    """Everything that is served and cannot be called for want of a price."""

    items: list[MissingRatesView]

    @classmethod
    def of(cls, missing: Iterable[MissingRates]) -> Self:
        """These gaps."""
        return cls(
            items=[
                MissingRatesView(model=one.model, currency=one.currency, modality=one.modality, units=list(one.units))
                for one in missing
            ]
        )


class CreateChange(BaseModel):
    """A price for something that has none yet; without `effective_from` at once."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["create"] = "create"
    model: str
    modality: Modality | None = None
    unit: Unit
    price: MoneyIn
    is_free: bool = False
    provider: str
    effective_from: AwareDatetime | None = None

    def to_change(self) -> CreateRate:
        """What the desk is asked for."""
        price = Money.from_decimal(self.price.amount, parse_currency(self.price.currency))
        moment = self.effective_from or datetime.max.replace(tzinfo=UTC)
        rate = NewRate(
            self.model, self.unit, price, moment, self.provider, is_free=self.is_free, modality=self.modality
        )
        return CreateRate(rate, self.effective_from)


class Superseding(BaseModel):
    """Another price, in the currency of the rate that it follows; without `effective_from` at once."""

    model_config = ConfigDict(extra="forbid")

    price: str
    is_free: bool = False
    provider: str | None = None
    effective_from: AwareDatetime | None = None

    def of_rate(self, rate_id: str) -> SupersedeRate:
        """What the desk is asked for."""
        return SupersedeRate(rate_id, self.price, self.is_free, self.provider, self.effective_from)


class SupersedeChange(Superseding):
    """Another price for one rate of several."""

    action: Literal["supersede"]
    rate_id: str

    def to_change(self) -> SupersedeRate:
        """What the desk is asked for."""
        return self.of_rate(self.rate_id)


class WithdrawChange(BaseModel):
    """No price any more, from now on."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["withdraw"]
    rate_id: str

    def to_change(self) -> WithdrawRate:
        """What the desk is asked for."""
        return WithdrawRate(self.rate_id)


class CreateRequest(CreateChange):
    """One new price, and why."""

    reason: str


class SupersedeRequest(Superseding):
    """Another price, and why."""

    reason: str


class WithdrawRequest(BaseModel):
    """Why a price ends."""

    model_config = ConfigDict(extra="forbid")

    reason: str


class BulkRequest(BaseModel):
    """Many changes for one reason: all of them or none."""

    model_config = ConfigDict(extra="forbid")

    changes: list[Annotated[CreateChange | SupersedeChange | WithdrawChange, Field(discriminator="action")]]
    reason: str


class RemarkView(BaseModel):
    """Something about a row of a spreadsheet; `column` is empty where the whole row is meant."""

    row: int
    column: str
    message: str

    @classmethod
    def of(cls, remark: Remark) -> Self:
        """This remark."""
        return cls(row=remark.row, column=remark.column, message=remark.sentence)


class PlannedChangeView(BaseModel):
    """What a row of a spreadsheet does; `former_price` is null where there was none."""

    row: int
    action: Action
    model: str
    modality: Modality
    unit: Unit
    per: int
    former_price: MoneyView | None
    price: MoneyView
    effective_from: datetime

    @classmethod
    def of(cls, change: Change) -> Self:
        """This change."""
        key = change.after.key
        return cls(
            row=change.row,
            action=change.action,
            model=key.model,
            modality=key.modality,
            unit=key.unit,
            per=PER[key.unit],
            former_price=None if change.before is None else MoneyView.of(change.before.rate.price),
            price=MoneyView.of(change.after.price),
            effective_from=change.after.effective_from,
        )


class ImportSummary(BaseModel):
    """How many rows do what."""

    create: int
    supersede: int
    withdraw: int
    unchanged: int
    warnings: int
    errors: int

    @classmethod
    def of(cls, plan: ImportPlan) -> Self:
        """This plan in numbers."""
        actions = Counter(change.action for change in plan.changes)
        return cls(
            create=actions[Action.CREATE],
            supersede=actions[Action.SUPERSEDE],
            withdraw=actions[Action.WITHDRAW],
            unchanged=plan.unchanged,
            warnings=len(plan.warnings),
            errors=len(plan.errors),
        )


class ImportView(BaseModel):
    """What importing a spreadsheet does: numbers of all, and the first of each kind of line.

    `token` belongs to this file and these rates; only with it can exactly this be applied.
    """

    token: str
    summary: ImportSummary
    warnings: list[RemarkView]
    errors: list[RemarkView]
    first_actions: list[PlannedChangeView]

    @classmethod
    def of(cls, preview: ImportPreview) -> Self:
        """This preview."""
        plan = preview.plan
        return cls(
            token=preview.token,
            summary=ImportSummary.of(plan),
            warnings=[RemarkView.of(remark) for remark in plan.warnings[:REMARKS_MAX]],
            errors=[RemarkView.of(remark) for remark in plan.errors[:REMARKS_MAX]],
            first_actions=[PlannedChangeView.of(change) for change in plan.changes[:FIRST_ACTIONS]],
        )


class UnitPriceView(BaseModel):
    """What `per` of a unit cost."""

    unit: Unit
    per: int
    price: MoneyView


class CardPriceView(BaseModel):
    """What `per` of a unit cost, in words that people use: "1M tokens", "minute"."""

    unit: Unit
    per: str
    price: MoneyView


class RateCardView(BaseModel):
    """One model's prices for one modality, for people; `is_free` is said, never inferred from a zero."""

    model: str
    modality: Modality
    is_free: bool
    effective_from: datetime
    prices: list[CardPriceView]

    @classmethod
    def of(cls, snapshot: RateSnapshot) -> Self:
        """These rates."""
        return cls(
            model=snapshot.model,
            modality=snapshot.modality,
            is_free=snapshot.is_free,
            effective_from=snapshot.newest.effective_from,
            prices=[
                CardPriceView(
                    unit=rate.unit, per=DISPLAY_UNITS[rate.unit][0], price=MoneyView.of(display_price_of(rate))
                )
                for rate in snapshot.in_order
            ],
        )


class ModelPriceView(BaseModel):
    """One model's prices for one modality; `is_free` is said, never inferred from a zero."""

    model: str
    modality: Modality
    is_free: bool
    prices: list[UnitPriceView]

    @classmethod
    def of(cls, snapshot: RateSnapshot) -> Self:
        """These rates."""
        return cls(
            model=snapshot.model,
            modality=snapshot.modality,
            is_free=snapshot.is_free,
            prices=[
                UnitPriceView(unit=rate.unit, per=PER[rate.unit], price=MoneyView.of(rate.price))
                for rate in snapshot.in_order
            ],
        )

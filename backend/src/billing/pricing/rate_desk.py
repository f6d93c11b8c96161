"""The operators' desk for rate cards: see them, change them one by one, many at once or by spreadsheet."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing.customers.audit import AuditTrail
from billing.customers.rules import Principal, check_reason, require_operator
from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.money import Currency, Money
from billing.kit.pagination import PAGE_SIZE_MAX, Page, decode_cursor, encode_cursor
from billing.kit.statements import answer
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.pricing import repository
from billing.pricing.errors import (
    ImportOutdated,
    ImportRefused,
    RateExists,
    RateNotFound,
    RateOutdated,
    RateRefused,
)
from billing.pricing.ports import Spreadsheets
from billing.pricing.rules import (
    PER,
    MissingRates,
    NewRate,
    Publication,
    PublishedRate,
    RateFilter,
    RateKey,
    missing_rates,
)
from billing.pricing.service import PricingService
from billing.pricing.sheets import (
    Action,
    Change,
    ImportPlan,
    Remark,
    WantedRate,
    import_token,
    plan_import,
    read_sheet,
    sheet_of,
)

BULK_MAX = 200
REMARKS_MAX = 100
FIRST_ACTIONS = 20


@dataclass(frozen=True, slots=True)
class CreateRate:
    """A price for something that has none; without `effective_from` at once."""

    rate: NewRate
    effective_from: datetime | None


@dataclass(frozen=True, slots=True)
class SupersedeRate:
    """Another price in place of this one; what is None stays as it is, without `effective_from` at once."""

    rate_id: str
    price: str
    is_free: bool
    provider: str | None
    effective_from: datetime | None


@dataclass(frozen=True, slots=True)
class WithdrawRate:
    """No price any more, from now on; prices that were still to come are withdrawn with it."""

    rate_id: str


RateChange = CreateRate | SupersedeRate | WithdrawRate


@dataclass(frozen=True, slots=True)
class ImportPreview:
    """What applying a spreadsheet would do; `token` lets exactly this be applied."""

    token: str
    plan: ImportPlan


class RateDesk:
    """Rate cards for operators. Each change leaves exactly one audit entry in the same transaction (G14).

    `served_models` are the names whose calls need prices, `currency` is that of the wallets which pay for them.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        audit: AuditTrail,
        pricing: PricingService,
        sheets: Spreadsheets,
        served_models: Collection[str],
        currency: Currency,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._audit = audit
        self._pricing = pricing
        self._sheets = sheets
        self._served_models = frozenset(served_models)
        self._currency = currency

    async def page(
        self, principal: Principal, wanted: RateFilter, *, cursor: str | None, limit: int
    ) -> Page[PublishedRate]:
        """One page of the rates that the filter lets through, newest first.

        Raises:
            Forbidden: the caller is no operator.
            InvalidInput: the cursor is not one of ours.
        """
        require_operator(principal, may_write=False)
        size = max(1, min(limit, PAGE_SIZE_MAX))
        position = decode_cursor(cursor)
        async with self._begin() as uow:
            rows = await repository.rates_before(uow, wanted, self._clock.now(), position=position, limit=size + 1)
        more = len(rows) > size
        return Page(rows[:size], encode_cursor(rows[size - 1].rate.rate_id) if more else None)

    async def missing(self, principal: Principal, currencies: Collection[Currency] = ()) -> tuple[MissingRates, ...]:
        """What served models lack before they can be called, in these currencies or in that of the wallets.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await self.missing_for(uow, currencies)

    async def missing_for(self, uow: UnitOfWork, currencies: Collection[Currency] = ()) -> tuple[MissingRates, ...]:
        """The same for who operates the machine itself."""
        now = self._clock.now()
        found: list[MissingRates] = []
        for currency in sorted(set(currencies) or {self._currency}):
            rates = await answer(uow, repository.effective_rates(currency, now))
            priced = {(model, modality, rate.unit) for model, modality, rate in rates}
            found += missing_rates(self._served_models, currency, priced)
        return tuple(found)

    async def change(
        self, principal: Principal, changes: Sequence[RateChange], *, reason: str, request_id: str
    ) -> tuple[Publication, ...]:
        """Makes all of these changes or none.

        Raises:
            Forbidden: the caller is no operator who may write.
            InvalidInput: no reason, no change, too many, or two for one price.
            RateRefused: a price that nobody can mean, or that begins in the past.
            RateExists: a rate to be created is there already.
            RateNotFound: a rate to be changed is not.
            RateOutdated: a rate to be changed has a successor already.
        """
        require_operator(principal, may_write=True)
        reason = check_reason(reason)
        if not 1 <= len(changes) <= BULK_MAX:
            raise InvalidInput("changes", f"One request makes 1 to {BULK_MAX} changes.")
        async with self._begin() as uow:
            await repository.lock_changes(uow)
            planned = await self._planned(uow, changes)
            return await self._publish(uow, principal, planned, "rates.changed", reason=reason, request_id=request_id)

    async def export(self, principal: Principal) -> bytes:
        """A spreadsheet of the last published rate of each key, which can be imported again.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            latest = await repository.latest(uow)
        return await asyncio.to_thread(self._sheets.write, sheet_of(latest.values()))

    async def preview(self, principal: Principal, content: bytes) -> ImportPreview:
        """What importing this spreadsheet would do. Changes nothing.

        Raises:
            Forbidden: the caller is no operator.
            SheetTooLarge: the file is larger than what we read.
            SheetRefused: it is no spreadsheet of rates.
        """
        require_operator(principal, may_write=False)
        wanted, errors = await self._read(content)
        async with self._begin() as uow:
            return await self._preview(uow, content, wanted, errors)

    async def apply(
        self, principal: Principal, content: bytes, *, token: str, reason: str, request_id: str
    ) -> ImportPreview:
        """Publishes a whole spreadsheet, or nothing of it; the token is that of its preview.

        Raises:
            Forbidden: the caller is no operator who may write.
            InvalidInput: no reason.
            SheetTooLarge: the file is larger than what we read.
            SheetRefused: it is no spreadsheet of rates.
            ImportOutdated: another file, or the rates in it have changed since the preview.
            ImportRefused: rows cannot be published; `problems` names them.
        """
        require_operator(principal, may_write=True)
        reason = check_reason(reason)
        wanted, errors = await self._read(content)
        async with self._begin() as uow:
            await repository.lock_changes(uow)
            preview = await self._preview(uow, content, wanted, errors)
            if preview.token != token:
                raise ImportOutdated
            if preview.plan.errors:
                raise ImportRefused([remark.to_json() for remark in preview.plan.errors[:REMARKS_MAX]])
            if preview.plan.changes:
                await self._publish(
                    uow, principal, preview.plan.changes, "rates.imported", reason=reason, request_id=request_id
                )
        return preview

    async def _read(self, content: bytes) -> tuple[tuple[WantedRate, ...], tuple[Remark, ...]]:
        # Unpacking takes a while; calls of customers go on meanwhile.
        return read_sheet(await asyncio.to_thread(self._sheets.read, content))

    async def _preview(
        self, uow: UnitOfWork, content: bytes, wanted: Sequence[WantedRate], errors: Sequence[Remark]
    ) -> ImportPreview:
        latest = await repository.latest(uow, sorted({rate.key.model for rate in wanted}))
        plan = plan_import(wanted, latest, self._clock.now())
        plan = replace(plan, errors=tuple(sorted((*errors, *plan.errors), key=lambda remark: remark.row)))
        return ImportPreview(import_token(content, wanted, latest), plan)

    async def _planned(self, uow: UnitOfWork, changes: Sequence[RateChange]) -> list[Change]:
        now = self._clock.now()
        ids = [change.rate_id for change in changes if not isinstance(change, CreateRate)]
        named = await repository.by_ids(uow, ids)
        models = {change.rate.model for change in changes if isinstance(change, CreateRate)}
        latest = await repository.latest(uow, sorted(models | {rate.key.model for rate in named.values()}))
        planned = [_planned_change(change, named, latest, now) for change in changes]
        if len({change.after.key for change in planned}) < len(planned):
            raise InvalidInput("changes", "Two changes are about one price.")
        return planned

    async def _publish(
        self,
        uow: UnitOfWork,
        principal: Principal,
        changes: Sequence[Change],
        action: str,
        *,
        reason: str,
        request_id: str,
    ) -> tuple[Publication, ...]:
        rates = [change.after for change in changes]
        rates += await self._withdrawn_ahead(uow, changes)
        published = await self._pricing.publish(uow, rates)
        await self._audit.record(
            uow,
            principal,
            action=action,
            target=published[0].rate_id if len(changes) == 1 else "rates",
            before={"rates": [_before_json(change.before) for change in changes if change.before is not None]},
            after={"rates": [_after_json(publication) for publication in published]},
            reason=reason,
            request_id=request_id,
        )
        return published

    async def _withdrawn_ahead(self, uow: UnitOfWork, changes: Iterable[Change]) -> list[NewRate]:
        """Without these, a price that is still to come would bring back what was withdrawn."""
        withdrawn = {change.after.key: change.after for change in changes if change.action is Action.WITHDRAW}
        if not withdrawn:
            return []
        now = self._clock.now()
        ahead = await repository.moments_ahead(uow, sorted({key.model for key in withdrawn}), now)
        return [
            replace(withdrawn[key], effective_from=moment)
            for key, moment in ahead
            if key in withdrawn and moment > withdrawn[key].effective_from
        ]


def _planned_change(
    change: RateChange, named: Mapping[str, PublishedRate], latest: Mapping[RateKey, PublishedRate], now: datetime
) -> Change:
    if isinstance(change, CreateRate):
        before = latest.get(change.rate.key)
        if before is not None and before.is_active:
            raise RateExists(change.rate.model, change.rate.unit, before.rate.rate_id)
        rate = replace(change.rate, effective_from=_not_over(change.effective_from, change.rate, now))
        return Change(0, Action.CREATE, before, rate)
    before = named.get(change.rate_id)
    if before is None:
        raise RateNotFound(change.rate_id)
    last = latest[before.key]
    if last.rate.rate_id != change.rate_id:
        raise RateOutdated(change.rate_id, last.rate.rate_id)
    rate = _following(before, now)
    if isinstance(change, WithdrawRate):
        return Change(0, Action.WITHDRAW, before, replace(rate, is_active=False))
    rate = replace(
        rate,
        price=Money.from_decimal(change.price, before.key.currency),
        is_free=change.is_free,
        provider=change.provider or rate.provider,
        effective_from=_not_over(change.effective_from, rate, now),
    )
    return Change(0, Action.SUPERSEDE, before, rate)


def _following(before: PublishedRate, now: datetime) -> NewRate:
    """The same rate, said again."""
    return NewRate(
        before.key.model,
        before.key.unit,
        before.rate.price,
        now,
        before.rate.provider,
        is_free=before.rate.is_free,
        modality=before.key.modality,
    )


def _not_over(effective_from: datetime | None, rate: NewRate, now: datetime) -> datetime:
    if effective_from is not None and effective_from < now:
        raise RateRefused(rate.model, rate.unit, "it would begin in the past, and no call is priced again")
    return effective_from or now


def _before_json(before: PublishedRate) -> dict[str, object]:
    return {
        "rate_id": before.rate.rate_id,
        **_key_json(before.key),
        "price": before.rate.price.to_decimal(),
        "is_free": before.rate.is_free,
        "is_active": before.is_active,
        "provider": before.rate.provider,
        "version": before.rate.version,
        "effective_from": before.rate.effective_from.isoformat(),
    }


def _after_json(published: Publication) -> dict[str, object]:
    return {
        "rate_id": published.rate_id,
        **_key_json(published.rate.key),
        "price": published.rate.price.to_decimal(),
        "is_free": published.rate.is_free,
        "is_active": published.rate.is_active,
        "provider": published.rate.provider,
        "version": published.version,
        "effective_from": published.rate.effective_from.isoformat(),
    }


def _key_json(key: RateKey) -> dict[str, object]:
    return {
        "model": key.model,
        "modality": key.modality.value,
        "unit": key.unit.value,
        "per": PER[key.unit],
        "currency": key.currency,
    }

"""Rate cards as spreadsheets: which columns there are, what a row means, and what publishing a sheet would change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from billing.kit.errors import BillingError, InvalidInput
from billing.kit.money import Money, parse_currency
from billing.pricing.errors import SheetRefused
from billing.pricing.rules import (
    PER,
    Modality,
    NewRate,
    PublishedRate,
    RateKey,
    Unit,
    require_meaningful,
)

E = TypeVar("E", bound=StrEnum)
R = TypeVar("R")

COLUMNS = (
    "model",
    "modality",
    "unit",
    "per",
    "price",
    "currency",
    "free",
    "active",
    "effective_from",
    "provider",
    "version",
)
SHEET_BYTES_MAX = 1024 * 1024
_REQUIRED = ("model", "unit", "price", "currency", "provider")
_YES_NO = {"yes": True, "no": False}
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
# A price that is so much larger or smaller than before is more often a slip of the unit than a decision.
_LEAP = 10


@dataclass(frozen=True, slots=True)
class Formula:
    """A cell whose content a spreadsheet computes; its value is whatever somebody's program left there."""


FORMULA = Formula()
Cell = str | Decimal | bool | datetime | Formula | None


class Action(StrEnum):
    """What publishing a row does."""

    CREATE = "create"
    SUPERSEDE = "supersede"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say about a row: why it cannot be published, or what to look at before it is.

    Rows are numbered as the spreadsheet shows them; `column` is empty where the whole row is meant.
    """

    row: int
    column: str
    sentence: str

    def to_json(self) -> dict[str, object]:
        """The remark as facts of a refusal."""
        return {"row": self.row, "column": self.column, "message": self.sentence}


@dataclass(frozen=True, slots=True)
class WantedRate:
    """What a row asks for; without `effective_from` at once, without `version` whatever the present one is."""

    row: int
    key: RateKey
    price: Money
    provider: str
    is_free: bool
    is_active: bool
    effective_from: datetime | None
    version: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """One rate to be published, and the last one of its key that it follows; `row` is 0 outside a spreadsheet."""

    row: int
    action: Action
    before: PublishedRate | None
    after: NewRate


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What publishing a whole sheet would do; with errors, nothing."""

    changes: tuple[Change, ...]
    unchanged: int
    warnings: tuple[Remark, ...]
    errors: tuple[Remark, ...]


def sheet_of(rates: Iterable[PublishedRate]) -> list[list[str]]:
    """The header and a row for each rate, as text: prices keep every digit, and nothing begins like a formula."""
    return [list(COLUMNS), *([guarded(cell) for cell in _row_of(published)] for published in rates)]


def guarded(text: str) -> str:
    """The text as no spreadsheet computes it, not even after somebody saves it in another format."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"'{printable}" if text.startswith(_FORMULA_SIGNS) else printable


def read_sheet(rows: Sequence[Sequence[Cell]]) -> tuple[tuple[WantedRate, ...], tuple[Remark, ...]]:
    """What the rows below the header ask for, and what is wrong with the others; empty rows are passed over.

    Raises:
        SheetRefused: there is no header, or it lacks, repeats or invents a column.
    """
    places = _places(rows[0] if rows else ())
    wanted: list[WantedRate] = []
    errors: list[Remark] = []
    for number, row in enumerate(rows[1:], start=2):
        cells = {name: row[place] if place < len(row) else None for name, place in places.items()}
        if all(cell is None or cell == "" for cell in cells.values()):
            continue
        reading = _RowReading(number, cells)
        rate = reading.wanted()
        errors += reading.errors
        if rate is not None:
            wanted.append(rate)
    return tuple(wanted), tuple(errors)


def plan_import(wanted: Sequence[WantedRate], latest: Mapping[RateKey, PublishedRate], now: datetime) -> ImportPlan:
    """What publishing these rates at this moment changes, given the last published rate of each key."""
    changes: list[Change] = []
    warnings: list[Remark] = []
    errors = list(_repeated(wanted))
    unchanged = 0
    for rate in wanted:
        before = latest.get(rate.key)
        present = before.rate.version if before else 0
        if rate.version not in (None, present):
            errors.append(Remark(rate.row, "version", f"the present version is {present}, not {rate.version}"))
        elif before is not None and _says_the_same(rate, before, now):
            unchanged += 1
        elif not rate.is_active and (before is None or not before.is_active):
            errors.append(Remark(rate.row, "active", "there is no such rate to withdraw"))
        else:
            change = Change(rate.row, _action(rate, before), before, _new_rate(rate, now))
            changes.append(change)
            warnings += _warnings(rate, change, now)
    return ImportPlan(tuple(changes), unchanged, tuple(warnings), tuple(sorted(errors, key=lambda one: one.row)))


def import_token(content: bytes, wanted: Sequence[WantedRate], latest: Mapping[RateKey, PublishedRate]) -> str:
    """What ties an import to its preview: the file, and the version of every rate that it speaks of."""
    digest = hashlib.sha256(hashlib.sha256(content).digest())
    for key in sorted({rate.key for rate in wanted}, key=str):
        version = latest[key].rate.version if key in latest else 0
        digest.update(f"{key}={version}\n".encode())
    return digest.hexdigest()


class _RowReading:
    """Reads the cells of one row and collects what is wrong with them."""

    def __init__(self, number: int, cells: Mapping[str, Cell]) -> None:
        self._number = number
        self._cells = cells
        self.errors: list[Remark] = []

    def wanted(self) -> WantedRate | None:
        """What the row asks for, or None if something is wrong with it."""
        unit = self._enum("unit", Unit)
        modality = self._enum("modality", Modality)
        currency = self._refusing("currency", parse_currency, self._text("currency"))
        price = None
        if currency is not None:
            price = self._refusing("price", lambda text: Money.from_decimal(text, currency), self._number_text("price"))
        effective_from = self._moment("effective_from")
        version = self._whole("version")
        is_free, is_active = self._yes_no("free", default=False), self._yes_no("active", default=True)
        model, provider = self._text("model") or "", self._text("provider") or ""
        self._check_per(unit)
        for column in _REQUIRED:
            if self._cells.get(column) is None:
                self._remark(column, "is empty")
        if self.errors or unit is None or price is None:
            return None
        new = NewRate(model, unit, price, datetime.min.replace(tzinfo=UTC), provider, is_free, is_active, modality)
        try:
            require_meaningful(new)
        except BillingError as refusal:
            self._remark("", refusal.sentence)
            return None
        return WantedRate(self._number, new.key, price, provider, is_free, is_active, effective_from, version)

    def _remark(self, column: str, sentence: str) -> None:
        self.errors.append(Remark(self._number, column, sentence))

    def _text(self, column: str) -> str | None:
        cell = self._cells.get(column)
        if cell is None or cell == "":
            return None
        if isinstance(cell, Formula) or (isinstance(cell, str) and cell.startswith(_FORMULA_SIGNS)):
            self._remark(column, "is a formula or begins like one")
            return None
        if not isinstance(cell, str):
            self._remark(column, "is not text")
            return None
        return cell.strip()

    def _number_text(self, column: str) -> str | None:
        cell = self._cells.get(column)
        return f"{cell:f}" if isinstance(cell, Decimal) else self._text(column)

    def _whole(self, column: str) -> int | None:
        text = self._number_text(column)
        if text is None:
            return None
        whole = text.removesuffix(".0")
        if not (whole.isascii() and whole.isdigit() and len(whole) <= 9):  # noqa: PLR2004 - what an integer column holds
            self._remark(column, f"{text[:40]!r} is not a whole number")
            return None
        return int(whole)

    def _enum(self, column: str, kind: type[E]) -> E | None:
        text = self._text(column)
        if text is None:
            return None
        try:
            return kind(text)
        except ValueError:
            self._remark(column, f"{text[:40]!r} is none of {', '.join(kind)}")
            return None

    def _yes_no(self, column: str, *, default: bool) -> bool:
        cell = self._cells.get(column)
        if isinstance(cell, bool):
            return cell
        text = self._text(column)
        if text is None:
            return default
        if text.lower() not in _YES_NO:
            self._remark(column, "is yes or no")
        return _YES_NO.get(text.lower(), default)

    def _moment(self, column: str) -> datetime | None:
        """A date of the spreadsheet has no time zone and counts as UTC, as does text without one."""
        cell = self._cells.get(column)
        if isinstance(cell, datetime):
            return cell.replace(tzinfo=UTC)
        text = self._text(column)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self._remark(column, f"{text[:40]!r} is not a moment such as 2026-01-31T12:00:00Z")
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _refusing(self, column: str, read: Callable[[str], R], text: str | None) -> R | None:
        if text is None:
            return None
        try:
            return read(text)
        except InvalidInput as refusal:
            self._remark(column, refusal.sentence)
            return None

    def _check_per(self, unit: Unit | None) -> None:
        """Optional, but it must not contradict: a price per thousand is not one per million."""
        per = self._whole("per")
        if per is not None and unit is not None and per != PER[unit]:
            self._remark("per", f"a price of {unit} is for {PER[unit]}, not for {per}")


def _places(header: Sequence[Cell]) -> dict[str, int]:
    names = [cell.strip().lower() if isinstance(cell, str) else cell for cell in header]
    while names and names[-1] in (None, ""):
        names.pop()
    if unknown := [str(name)[:40] for name in names if name not in COLUMNS]:
        raise SheetRefused(f"unknown columns in its first row: {', '.join(unknown)}")
    if len(set(names)) < len(names):
        raise SheetRefused("a column appears twice in its first row")
    if missing := [name for name in _REQUIRED if name not in names]:
        raise SheetRefused(f"columns missing in its first row: {', '.join(missing)}")
    return {str(name): place for place, name in enumerate(names)}


def _row_of(published: PublishedRate) -> list[str]:
    key, rate = published.key, published.rate
    return [
        key.model,
        key.modality.value,
        key.unit.value,
        str(PER[key.unit]),
        rate.price.to_decimal(),
        key.currency,
        "yes" if rate.is_free else "no",
        "yes" if published.is_active else "no",
        rate.effective_from.astimezone(UTC).isoformat(),
        rate.provider,
        str(rate.version),
    ]


def _repeated(wanted: Sequence[WantedRate]) -> Iterator[Remark]:
    first: dict[RateKey, int] = {}
    for rate in wanted:
        if rate.key in first:
            yield Remark(rate.row, "", f"says the price of the same thing as row {first[rate.key]}")
        first.setdefault(rate.key, rate.row)


def _says_the_same(rate: WantedRate, before: PublishedRate, now: datetime) -> bool:
    """A moment in the past asks for nothing new: what is published begins now at the earliest."""
    is_same_moment = rate.effective_from is None or rate.effective_from == before.rate.effective_from
    is_over = rate.effective_from is not None and rate.effective_from <= now and before.rate.effective_from <= now
    return (rate.price, rate.is_free, rate.is_active, rate.provider) == (
        before.rate.price,
        before.rate.is_free,
        before.is_active,
        before.rate.provider,
    ) and (is_same_moment or is_over)


def _action(rate: WantedRate, before: PublishedRate | None) -> Action:
    if not rate.is_active:
        return Action.WITHDRAW
    return Action.CREATE if before is None or not before.is_active else Action.SUPERSEDE


def _new_rate(rate: WantedRate, now: datetime) -> NewRate:
    return NewRate(
        rate.key.model,
        rate.key.unit,
        rate.price,
        max(rate.effective_from or now, now),
        rate.provider,
        is_free=rate.is_free,
        is_active=rate.is_active,
        modality=rate.key.modality,
    )


def _warnings(rate: WantedRate, change: Change, now: datetime) -> Iterator[Remark]:
    if rate.effective_from is not None and rate.effective_from < now:
        yield Remark(rate.row, "effective_from", "is over; the rate begins now, because no call is priced again")
    if rate.is_free and rate.is_active:
        yield Remark(rate.row, "free", f"{rate.key.model} will cost nothing for {rate.key.unit}")
    before = change.before
    if before is None or not rate.is_active:
        return
    old, new = before.rate.price.micros, rate.price.micros
    if old and new and not old <= new * _LEAP <= old * _LEAP * _LEAP:
        yield Remark(rate.row, "price", f"was {before.rate.price} before: more than {_LEAP} times as much or as little")
    if before.rate.effective_from > change.after.effective_from:
        moment = before.rate.effective_from.isoformat()
        yield Remark(rate.row, "", f"ends at {moment} already, when version {before.rate.version} comes into force")

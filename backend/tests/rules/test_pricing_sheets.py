"""A spreadsheet of rates says exactly what it says: nothing is computed, guessed, rounded or published twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.pricing import published
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import NOON
from billing.pricing.errors import SheetRefused
from billing.pricing.rules import Modality, PublishedRate, Unit
from billing.pricing.sheets import (
    COLUMNS,
    FORMULA,
    Action,
    Cell,
    ImportPlan,
    WantedRate,
    guarded,
    import_token,
    plan_import,
    read_sheet,
    sheet_of,
)

DAY = timedelta(days=1)
ROW: dict[str, Cell] = {
    "model": "m",
    "unit": "input_tokens",
    "price": "60",
    "currency": "RUB",
    "provider": "tests",
}


def sheet(*rows: dict[str, Cell]) -> list[tuple[Cell, ...]]:
    """A sheet with every column."""
    return [COLUMNS, *(tuple({**ROW, **row}.get(column) for column in COLUMNS) for row in rows)]


def reading(**cells: Cell) -> WantedRate:
    """What a row with these cells asks for."""
    (wanted,), errors = read_sheet(sheet(cells))
    assert errors == ()
    return wanted


def problem(**cells: Cell) -> tuple[str, str]:
    """What is wrong with a row with these cells: the column, and why."""
    wanted, errors = read_sheet(sheet(cells))
    assert wanted == ()
    return errors[0].column, errors[0].sentence


def plan(*rows: dict[str, Cell], latest: Sequence[PublishedRate] = ()) -> ImportPlan:
    """What publishing these rows at noon would do."""
    wanted, errors = read_sheet(sheet(*rows))
    assert errors == ()
    return plan_import(wanted, {rate.key: rate for rate in latest}, NOON)


class TestARow:
    def test_says_a_price_from_now_on_unless_told_more(self) -> None:
        wanted = reading()

        assert (wanted.row, wanted.key.model, wanted.key.unit, wanted.price) == (2, "m", Unit.INPUT, rub("60"))
        assert (wanted.key.modality, wanted.is_free, wanted.is_active) == (Modality.TEXT, False, True)
        assert (wanted.effective_from, wanted.version) == (None, None)

    @pytest.mark.parametrize(
        ("cell", "micros"),
        [("0.000001", 1), (Decimal("0.1"), 100_000), (Decimal("1E-6"), 1), (Decimal(60), 60_000_000)],
    )
    def test_has_its_price_to_the_last_digit(self, cell: Cell, micros: int) -> None:
        assert reading(price=cell).price.micros == micros

    @given(st.integers(min_value=1, max_value=10**9))
    def test_reads_back_what_a_spreadsheet_made_of_a_price(self, micros: int) -> None:
        stored = Decimal(repr(micros / 1_000_000))

        assert reading(price=stored).price.micros == micros

    def test_can_price_requests_of_any_modality(self) -> None:
        assert reading(unit="requests", modality="image").key.modality is Modality.IMAGE

    @pytest.mark.parametrize(
        "cell",
        [
            datetime(2026, 3, 1, 9, 0),  # noqa: DTZ001 - a spreadsheet's moment has no zone
            "2026-03-01T09:00:00",
            "2026-03-01T12:00:00+03:00",
        ],
        ids=str,
    )
    def test_begins_at_its_moment_in_utc(self, cell: Cell) -> None:
        assert reading(effective_from=cell).effective_from == datetime(2026, 3, 1, 9, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("cells", "column"),
        [
            ({"price": "1,5"}, "price"),
            ({"price": "0.0000001"}, "price"),
            ({"price": Decimal("0.1234567")}, "price"),
            ({"price": True}, "price"),
            ({"price": None}, "price"),
            ({"price": Decimal("Infinity")}, "price"),
            ({"price": FORMULA}, "price"),
            ({"model": "=cmd()"}, "model"),
            ({"model": "+1"}, "model"),
            ({"model": "@sum"}, "model"),
            ({"model": "\tm"}, "model"),
            ({"provider": "-x"}, "provider"),
            ({"provider": Decimal(1)}, "provider"),
            ({"unit": "tokens"}, "unit"),
            ({"currency": "XQX"}, "currency"),
            ({"modality": "smell"}, "modality"),
            ({"per": "1000"}, "per"),
            ({"version": "1.5"}, "version"),
            ({"effective_from": "tomorrow"}, "effective_from"),
            ({"effective_from": Decimal(45_000)}, "effective_from"),
            ({"free": "maybe"}, "free"),
            ({"free": Decimal(1)}, "free"),
            ({"version": "x"}, "version"),
            ({"per": "many"}, "per"),
            ({"modality": "image"}, ""),
            ({"model": "two words"}, ""),
        ],
        ids=str,
    )
    def test_that_cannot_be_meant_is_refused_with_its_column(self, cells: dict[str, Any], column: str) -> None:
        assert problem(**cells)[0] == column

    def test_with_a_price_for_a_thousand_is_refused_because_prices_are_for_a_million(self) -> None:
        """Incident 19: price per token and per thousand tokens mixed up."""
        column, sentence = problem(per=Decimal(1000))

        assert (column, sentence) == ("per", "a price of input_tokens is for 1000000, not for 1000")

    def test_with_a_zero_price_is_refused_unless_it_says_that_it_is_free(self) -> None:
        """Incident 18: zero-priced rate cards from an import made paid models free."""
        assert "free" in problem(price="0")[1]
        assert reading(price="0", free="yes").is_free

    def test_without_anything_is_passed_over(self) -> None:
        wanted, errors = read_sheet([COLUMNS, (None,) * len(COLUMNS), ("",), ()])

        assert (wanted, errors) == ((), ())


class TestAHeader:
    @pytest.mark.parametrize(
        "header",
        [(), ("model",), (*COLUMNS, "model"), (*COLUMNS, "discount"), (*COLUMNS[:3], FORMULA, *COLUMNS[4:])],
        ids=["none", "incomplete", "twice", "unknown", "formula"],
    )
    def test_that_is_not_ours_is_refused(self, header: tuple[Cell, ...]) -> None:
        with pytest.raises(SheetRefused):
            read_sheet([header])

    def test_may_leave_out_what_has_a_default_and_order_columns_as_it_likes(self) -> None:
        (wanted,), errors = read_sheet(
            [("Price ", "provider", "currency", "unit", "model", None), ("7", "p", "rub", "output_tokens", "m")]
        )

        assert (errors, wanted.price, wanted.key.unit) == ((), rub("7"), Unit.OUTPUT)


class TestAPlan:
    def test_creates_what_is_not_there(self) -> None:
        (change,) = plan({}).changes

        assert (change.action, change.before, change.after.effective_from) == (Action.CREATE, None, NOON)

    def test_supersedes_what_differs_and_leaves_the_rest(self) -> None:
        present = published("m", Unit.INPUT, "50"), published("m", Unit.OUTPUT, "240")

        made = plan({}, {"unit": "output_tokens", "price": "240"}, latest=present)

        assert [(change.action, change.after.price) for change in made.changes] == [(Action.SUPERSEDE, rub("60"))]
        assert made.unchanged == 1

    def test_withdraws_what_is_said_to_be_inactive(self) -> None:
        made = plan({"active": "no"}, latest=[published("m", Unit.INPUT, "60")])

        assert [(change.action, change.after.is_active) for change in made.changes] == [(Action.WITHDRAW, False)]

    def test_cannot_withdraw_what_is_not_there(self) -> None:
        assert plan({"active": "no"}).errors[0].column == "active"

    def test_begins_now_where_the_moment_is_over_and_says_so(self) -> None:
        made = plan({"effective_from": "2020-01-01"}, latest=[published("m", Unit.INPUT, "50")])

        assert made.changes[0].after.effective_from == NOON
        assert [warning.column for warning in made.warnings] == ["effective_from"]

    def test_begins_later_where_the_moment_is_ahead(self) -> None:
        made = plan({"effective_from": (NOON + DAY).isoformat()})

        assert made.changes[0].after.effective_from == NOON + DAY

    def test_refuses_the_same_price_twice(self) -> None:
        assert [error.row for error in plan({}, {"price": "61"}).errors] == [3]

    @pytest.mark.parametrize("version", ["1", "3", "0"])
    def test_refuses_a_version_that_is_not_the_present_one(self, version: str) -> None:
        made = plan({"version": version}, latest=[published("m", Unit.INPUT, "50", version=2)])

        assert [error.column for error in made.errors] == ["version"]

    @pytest.mark.parametrize(("price", "is_told"), [("0.6", True), ("601", True), ("600", False), ("6", False)])
    def test_warns_of_a_leap_that_looks_like_a_slip(self, price: str, is_told: bool) -> None:  # noqa: FBT001 - a table's column
        made = plan({"price": price}, latest=[published("m", Unit.INPUT, "60")])

        assert [warning.column for warning in made.warnings] == (["price"] if is_told else [])

    def test_warns_of_what_becomes_free(self) -> None:
        assert [warning.column for warning in plan({"price": "0", "free": "yes"}).warnings] == ["free"]

    def test_warns_of_a_price_that_ends_soon_because_another_is_on_its_way(self) -> None:
        ahead = published("m", Unit.INPUT, "70", at=NOON + DAY, version=2)

        (warning,) = plan({}, latest=[ahead]).warnings

        assert "version 2" in warning.sentence


class TestAnExport:
    def test_imported_again_changes_nothing(self) -> None:
        rates = [
            published("m", Unit.INPUT, "0.000001"),
            published("m", Unit.REQUEST, "1.5", modality=Modality.SPEECH),
            published("m", Unit.OUTPUT, "0", version=3),
            published("gone", Unit.OUTPUT, "5", is_active=False),
            published("m", Unit.REASONING, "9", at=NOON + DAY),
        ]

        wanted, errors = read_sheet([tuple(row) for row in sheet_of(rates)])
        made = plan_import(wanted, {rate.key: rate for rate in rates}, NOON)

        assert (errors, made.errors, made.changes, made.unchanged) == ((), (), (), 5)

    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1"])
    def test_writes_nothing_that_begins_like_a_formula(self, text: str) -> None:
        assert guarded(text)[0] == "'"
        assert guarded(text).isprintable()

    @given(st.text())
    def test_never_writes_a_text_that_a_spreadsheet_computes(self, text: str) -> None:
        assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))


class TestAToken:
    def test_belongs_to_a_file_and_to_the_versions_of_its_rates(self) -> None:
        wanted, _ = read_sheet(sheet({}))
        first, second = (published("m", Unit.INPUT, "50", version=version) for version in (1, 2))
        other = published("other", Unit.INPUT, "50")

        token = import_token(b"file", wanted, {first.key: first})

        assert token == import_token(b"file", wanted, {first.key: first, other.key: other})
        assert token != import_token(b"file", wanted, {second.key: second})
        assert token != import_token(b"file", wanted, {})
        assert token != import_token(b"another", wanted, {first.key: first})

"""XLSX files as spreadsheet programs and strangers make them: read exactly, or refused, and never computed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime, time
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook

from billing.pricing.adapters.xlsx_sheets import ROWS_MAX, XlsxSheets
from billing.pricing.errors import SheetRefused, SheetTooLarge
from billing.pricing.sheets import FORMULA, SHEET_BYTES_MAX


def workbook(*rows: list[Any], titles: Sequence[str] = ("rates",)) -> bytes:
    """A file as a spreadsheet program writes it; the rows stand on the first sheet."""
    book = Workbook()
    book.worksheets[0].title = titles[0]
    for title in titles[1:]:
        book.create_sheet(title)
    for row in rows:
        book.worksheets[0].append(row)
    return _saved(book)


def repacked(content: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """The same archive with changed members."""
    file = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return file.getvalue()


def _saved(book: Workbook) -> bytes:
    file = BytesIO()
    book.save(file)
    return file.getvalue()


@pytest.fixture
def sheets() -> XlsxSheets:
    """The real format."""
    return XlsxSheets()


class TestReading:
    def test_gives_each_cell_as_what_it_is(self, sheets: XlsxSheets) -> None:
        moment = datetime(2026, 3, 1, 9, 30)  # noqa: DTZ001 - a spreadsheet's moment has no zone

        (row,) = sheets.read(workbook(["m", 0.1, 7, True, moment, None, "last"]))

        assert row == ("m", Decimal("0.1"), Decimal(7), True, moment, None, "last")

    @pytest.mark.parametrize("number", [0.1, 0.07, 1.1, 0.000001, 123456.789012, 60.0])
    def test_gives_a_number_digit_by_digit_as_the_program_shows_it(self, sheets: XlsxSheets, number: float) -> None:
        ((cell,),) = sheets.read(workbook([number]))

        assert cell == Decimal(repr(number))

    def test_gives_what_no_rate_has_as_text(self, sheets: XlsxSheets) -> None:
        ((cell,),) = sheets.read(workbook([time(9, 30)]))

        assert cell == "09:30:00"

    def test_never_takes_a_formulas_remembered_result(self, sheets: XlsxSheets) -> None:
        ((cell, plain),) = sheets.read(workbook(["=1+1", "text"]))

        assert (cell, plain) == (FORMULA, "text")

    def test_takes_the_sheet_called_rates_wherever_it_stands(self, sheets: XlsxSheets) -> None:
        book = load_workbook(BytesIO(workbook(["notes"], titles=("notes", "rates"))))
        book["rates"].append(["model"])

        assert sheets.read(_saved(book)) == (("model",),)

    def test_of_several_sheets_without_one_called_rates_is_refused(self, sheets: XlsxSheets) -> None:
        with pytest.raises(SheetRefused, match="none of its sheets"):
            sheets.read(workbook(["model"], titles=("a", "b")))

    def test_keeps_the_numbers_of_rows_although_some_are_empty(self, sheets: XlsxSheets) -> None:
        rows = sheets.read(workbook(["model"], [], ["m"]))

        assert (rows[0][0], rows[2][0]) == ("model", "m")


class TestAFileThatIsTooLarge:
    def test_packed_is_refused(self, sheets: XlsxSheets) -> None:
        with pytest.raises(SheetTooLarge):
            sheets.read(b"PK" + bytes(SHEET_BYTES_MAX))

    def test_unpacked_is_refused_before_it_is_parsed(self, sheets: XlsxSheets) -> None:
        bomb = repacked(workbook(["model"]), lambda name, data: data + b" " * 20_000_000 if "sheet1" in name else data)
        assert len(bomb) < 100_000

        with pytest.raises(SheetTooLarge, match="bytes unpacked"):
            sheets.read(bomb)

    def test_in_rows_is_refused(self, sheets: XlsxSheets) -> None:
        with pytest.raises(SheetTooLarge, match="rows"):
            sheets.read(workbook(*(["m"] for _ in range(ROWS_MAX + 2))))

    def test_in_rows_that_are_far_away_is_refused(self, sheets: XlsxSheets) -> None:
        book = Workbook()
        book.worksheets[0].cell(1_000_000, 1, "m")

        with pytest.raises(SheetTooLarge, match="rows"):
            sheets.read(_saved(book))

    def test_in_parts_is_refused(self, sheets: XlsxSheets) -> None:
        file = BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for number in range(200):
                archive.writestr(f"part{number}", "")

        with pytest.raises(SheetTooLarge, match="parts"):
            sheets.read(file.getvalue())

    def test_by_exactly_nothing_is_read(self, sheets: XlsxSheets) -> None:
        assert len(sheets.read(workbook(*(["m"] for _ in range(ROWS_MAX + 1))))) == ROWS_MAX + 1


class TestAFileThatIsNone:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"model,unit,price",
            b"PK\x05\x06" + bytes(18),
            workbook(["model"])[:-100],
            repacked(workbook(["model"]), lambda name, data: data[:200] if "sheet1" in name else data),
            repacked(workbook(["model"]), lambda name, data: b"" if name == "xl/workbook.xml" else data),
        ],
        ids=["empty", "text", "empty archive", "truncated", "broken sheet", "no workbook"],
    )
    def test_is_refused(self, sheets: XlsxSheets, content: bytes) -> None:
        with pytest.raises(SheetRefused):
            sheets.read(content)

    def test_because_it_declares_entities_is_refused(self, sheets: XlsxSheets) -> None:
        laughs = repacked(
            workbook(["model"]),
            lambda name, data: b'<!DOCTYPE a [<!ENTITY b "lol">]>' + data if "sheet1" in name else data,
        )

        with pytest.raises(SheetRefused, match="document type"):
            sheets.read(laughs)

    def test_because_a_member_lies_about_its_size_is_refused(self, sheets: XlsxSheets) -> None:
        honest = repacked(workbook(["model"]), lambda name, data: data + b" " * 9_000_000 if "sheet1" in name else data)
        with zipfile.ZipFile(BytesIO(honest)) as archive:
            size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
        lying = honest.replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little"))

        with pytest.raises(SheetRefused):
            sheets.read(lying)


class TestWriting:
    def test_makes_text_of_everything_and_nothing_to_compute(self, sheets: XlsxSheets) -> None:
        file = sheets.write([["model", "price"], ["=1+1", "0.000001"]])

        sheet = load_workbook(BytesIO(file))["rates"]
        assert [[(cell.value, cell.data_type) for cell in row] for row in sheet.iter_rows()] == [
            [("model", "s"), ("price", "s")],
            [("=1+1", "s"), ("0.000001", "s")],
        ]

    def test_and_reading_give_the_same_rows(self, sheets: XlsxSheets) -> None:
        rows = [["model", "price"], ["m", "0.000001"]]

        assert sheets.read(sheets.write(rows)) == tuple(map(tuple, rows))

"""Rate cards as XLSX files, read with every limit that a stranger's file needs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell.cell import Cell as WrittenCell
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from billing.kit.errors import BillingError
from billing.pricing.errors import SheetRefused, SheetTooLarge
from billing.pricing.sheets import FORMULA, SHEET_BYTES_MAX, Cell

SHEET = "rates"
UNPACKED_BYTES_MAX = 8 * 1024 * 1024
ROWS_MAX = 2000
_MEMBERS_MAX = 100
_COLUMNS_MAX = 32
_COLUMN_WIDTH = 22
_TEXT_FORMAT = "@"


class XlsxSheets:
    """The format of today's spreadsheets: a zip archive of XML, of which only cells' own values are looked at."""

    def read(self, content: bytes) -> tuple[tuple[Cell, ...], ...]:
        """The rows of the sheet called `rates`, else of the only sheet; 2000 below the header at the most.

        Raises:
            SheetTooLarge: more bytes, packed or unpacked, or more rows than are read.
            SheetRefused: not an XLSX file, a damaged one, or several sheets of which none is called `rates`.
        """
        if len(content) > SHEET_BYTES_MAX:
            raise SheetTooLarge("bytes", SHEET_BYTES_MAX)
        with _refusing_damage():
            _check_archive(content)
            # Neither formulas' remembered results nor links to other files are wanted.
            workbook = load_workbook(BytesIO(content), read_only=True, data_only=False, keep_links=False)
            try:
                return tuple(_rows(_sheet_of(workbook)))
            finally:
                workbook.close()

    def write(self, rows: Sequence[Sequence[str]]) -> bytes:
        """One sheet called `rates` whose cells are all text, so that no digit is lost and nothing is computed."""
        workbook = Workbook()
        sheet = workbook.worksheets[0]
        sheet.title = SHEET
        sheet.freeze_panes = "A2"
        for row in rows:
            sheet.append([_text_cell(sheet, text) for text in row])
        for place in range(1, len(rows[0]) + 1):
            sheet.column_dimensions[get_column_letter(place)].width = _COLUMN_WIDTH
        file = BytesIO()
        workbook.save(file)
        return file.getvalue()


def _text_cell(sheet: Worksheet, text: str) -> WrittenCell:
    """The library takes a text that begins like a formula for one; said afterwards, the type is what is written."""
    cell = WrittenCell(sheet, 1, 1, text)
    cell.data_type = "s"
    cell.number_format = _TEXT_FORMAT
    return cell


@contextmanager
def _refusing_damage() -> Iterator[None]:
    try:
        yield
    except BillingError:
        raise
    except Exception as error:
        # A stranger's file can break the library in any way that there is; the file is refused for all of them.
        raise SheetRefused("it is damaged, or no XLSX file") from error


def _check_archive(content: bytes) -> None:
    """Looks at the whole archive before any of it is parsed: a small file can unpack to a very large one.

    What an entry says about its size binds the reading of it, so a lie is no way around the limit.
    """
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) > _MEMBERS_MAX:
            raise SheetTooLarge("parts", _MEMBERS_MAX)
        if sum(entry.file_size for entry in entries) > UNPACKED_BYTES_MAX:
            raise SheetTooLarge("bytes unpacked", UNPACKED_BYTES_MAX)
        for entry in entries:
            # No spreadsheet program declares entities; whoever does wants them to grow.
            if b"<!DOCTYPE" in archive.read(entry):
                raise SheetRefused("its XML declares a document type")


def _sheet_of(workbook: Any) -> Any:
    if SHEET in workbook.sheetnames:
        return workbook[SHEET]
    if len(workbook.sheetnames) != 1:
        raise SheetRefused(f"none of its sheets is called {SHEET}")
    return workbook.worksheets[0]


def _rows(sheet: Any) -> Iterator[tuple[Cell, ...]]:
    # What a file says about its own dimensions is only a hint.
    sheet.reset_dimensions()
    for number, row in enumerate(sheet.iter_rows(max_col=_COLUMNS_MAX)):
        if number > ROWS_MAX:
            raise SheetTooLarge("rows", ROWS_MAX)
        cells = [_cell(cell) for cell in row]
        while cells and cells[-1] is None:
            cells.pop()
        yield tuple(cells)


def _cell(cell: Any) -> Cell:
    if cell.data_type == "f":
        return FORMULA
    value = cell.value
    if isinstance(value, bool) or value is None or isinstance(value, str | datetime):
        return value
    if isinstance(value, int | float):
        # A float's shortest notation is the number that the spreadsheet shows, digit by digit.
        return Decimal(repr(value))
    return str(value)

"""What pricing needs from outside: somebody who reads and writes spreadsheets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from billing.pricing.sheets import Cell


class Spreadsheets(Protocol):
    """A format of spreadsheet files. Nothing in a file is ever computed, and no text that is written can be."""

    def read(self, content: bytes) -> tuple[tuple[Cell, ...], ...]:
        """The rows of the sheet of rates from the first on, empty ones included, empty cells at their ends not.

        Raises:
            SheetTooLarge: more bytes, packed or unpacked, or more rows than are read.
            SheetRefused: no file of this format, or a damaged one.
        """
        ...

    def write(self, rows: Sequence[Sequence[str]]) -> bytes:
        """A file with these rows, the first of them the header; every cell is text."""
        ...

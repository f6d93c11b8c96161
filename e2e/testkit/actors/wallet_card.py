"""Reads the wallet's card as people see it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from html.parser import HTMLParser
from typing import Self


@dataclass(frozen=True, slots=True)
class WalletFigures:
    """The wallet as its card on the balance page shows it, exact."""

    available: Decimal
    paid: Decimal
    granted: Decimal
    held: Decimal
    debt: Decimal

    @classmethod
    def read(cls, card: str) -> Self:
        """The figures on a card's HTML."""
        reader = _Definitions()
        reader.feed(card)
        return cls(**{name: amount_in(reader.texts[f"figure-{name}"]) for name in cls.__slots__})


def amount_in(text: str) -> Decimal:
    """The number in an amount as English pages show it, such as "RUB 1,000.50"."""
    digits = re.sub(r"[^\d.\N{MINUS SIGN}-]", "", text).replace("\N{MINUS SIGN}", "-")
    return Decimal(digits)


class _Definitions(HTMLParser):
    """The texts of `<dd aria-labelledby=…>`, by the id of what labels them."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self._label: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._label = dict(attrs).get("aria-labelledby") if tag == "dd" else None

    def handle_data(self, data: str) -> None:
        if self._label is not None:
            self.texts[self._label] = self.texts.get(self._label, "") + data

    def handle_endtag(self, tag: str) -> None:
        if tag == "dd":
            self._label = None

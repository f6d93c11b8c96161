"""What the pages decide without asking anybody: which hint to show, and what a typed amount means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from billing.kit.errors import InvalidInput
from billing.kit.money import Currency, Money, minor_digits
from billing.pages.errors import AmountAmbiguous, AmountTooPrecise, AmountUnreadable

_TYPED_LENGTH_MAX = 32
_SPACES = re.compile("[ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}]")
_PLAIN = re.compile(r"\d+(?:[.,]\d+)?", re.ASCII)
_GROUPED = re.compile(r"\d{1,3}(?P<group>[ .,])\d{3}(?:(?P=group)\d{3})*(?:(?!(?P=group))[.,]\d+)?", re.ASCII)
_COMMA_BEFORE_THREE = re.compile(r"[1-9]\d{0,2},\d{3}", re.ASCII)


class Advice(StrEnum):
    """What the low-balance notice proposes."""

    NONE = "none"
    USE_FREE = "use_free"
    TOP_UP = "top_up"


@dataclass(frozen=True, slots=True)
class FreeUsage:
    """Whether this customer could call a model for nothing right now: all three must hold, or the hint is a lie."""

    is_enabled: bool
    has_something_left: bool
    has_free_model: bool

    @property
    def is_available(self) -> bool:
        """A free call would be accepted."""
        return self.is_enabled and self.has_something_left and self.has_free_model


def is_low(available: Money, threshold: Money) -> bool:
    """The one definition of a low balance, for page and header: strictly below the threshold."""
    return available < threshold


def low_balance_advice(
    *, available: Money, threshold: Money, missing: Money | None, free_usage: FreeUsage | None
) -> Advice:
    """Which hint to show; a blocked call (`missing`) brings one up at any balance.

    `free_usage` is None when the quota store did not answer; then nothing free is promised.
    """
    if missing is None and not is_low(available, threshold):
        return Advice.NONE
    if free_usage is not None and free_usage.is_available:
        return Advice.USE_FREE
    return Advice.TOP_UP


def read_amount(typed: str, currency: Currency) -> Money:
    """What a customer typed, as money: "1000.5", "1 000,50" and "1,000.50" are read; nothing is guessed.

    Thousands may be grouped by spaces, points or commas, all alike and in threes. One point or comma is the decimal
    separator, except that "1,000" (a comma before exactly three digits) has two readings and is refused.

    Raises:
        AmountUnreadable: other characters, a sign, or separators in odd places.
        AmountAmbiguous: two readings.
        AmountTooPrecise: more decimals than the currency has.
    """
    text = _SPACES.sub(" ", typed.strip())
    if len(text) > _TYPED_LENGTH_MAX:
        raise AmountUnreadable(typed)
    if _COMMA_BEFORE_THREE.fullmatch(text):
        raise AmountAmbiguous(typed)
    whole, fraction = _split_decimals(text, typed)
    if len(fraction) > minor_digits(currency):
        raise AmountTooPrecise(typed)
    try:
        return Money.from_decimal(f"{whole}.{fraction}" if fraction else whole, currency)
    except InvalidInput as beyond:
        raise AmountUnreadable(typed) from beyond


def _split_decimals(text: str, typed: str) -> tuple[str, str]:
    """The digits before and after the decimal separator."""
    if _PLAIN.fullmatch(text):
        whole, _, fraction = text.replace(",", ".").partition(".")
        return whole, fraction
    grouped = _GROUPED.fullmatch(text)
    if grouped is None:
        raise AmountUnreadable(typed)
    whole, _, fraction = text.replace(grouped["group"], "").replace(",", ".").partition(".")
    return whole, fraction


def read_missing(text: str | None, currency: Currency) -> Money | None:
    """The amount that a blocked call said was missing; what is not a positive plain decimal counts as not said.

    It comes in a link, so it only words a hint; no money follows from it.
    """
    if text is None:
        return None
    try:
        missing = Money.from_decimal(text, currency)
    except InvalidInput:
        return None
    return missing if missing.micros > 0 else None


def recommended_preset(presets: Iterable[Money], missing: Money | None) -> Money | None:
    """The smallest preset that covers what is missing; without a need, or where none is enough, there is none."""
    if missing is None:
        return None
    return min((preset for preset in presets if preset >= missing), key=lambda preset: preset.micros, default=None)

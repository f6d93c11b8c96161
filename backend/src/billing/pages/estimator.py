"""The estimator of the price page: reads its form, and lets the rules of pricing say what that would cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from billing.kit.errors import InvalidInput
from billing.kit.money import Currency, Money
from billing.pricing.estimates import chat_cost, images_cost, speech_cost, transcription_cost
from billing.pricing.rules import Modality, RateSnapshot

IMAGE_SIZES: tuple[tuple[int, int], ...] = ((512, 512), (1024, 1024), (1024, 1536), (1536, 1024))


@dataclass(frozen=True, slots=True)
class NumberField:
    """One number to type in, with what it may be and what the form says before anybody has."""

    name: str
    minimum: int
    maximum: int
    default: int


INPUT_TOKENS = NumberField("input_tokens", 0, 1_000_000, 1_000)
OUTPUT_TOKENS = NumberField("output_tokens", 0, 1_000_000, 500)
TURNS = NumberField("turns", 1, 200, 5)
IMAGES = NumberField("images", 0, 1_000, 0)
SPEECH_MINUTES = NumberField("speech_minutes", 0, 10_000, 0)
TRANSCRIPTION_MINUTES = NumberField("transcription_minutes", 0, 10_000, 0)
_NUMBERS_OF: Mapping[Modality, tuple[NumberField, ...]] = {
    Modality.TEXT: (INPUT_TOKENS, OUTPUT_TOKENS, TURNS),
    Modality.IMAGE: (IMAGES,),
    Modality.SPEECH: (SPEECH_MINUTES,),
    Modality.TRANSCRIPTION: (TRANSCRIPTION_MINUTES,),
}
_DIGITS_MAX = 12


@dataclass(frozen=True, slots=True)
class NumberView:
    """A number field as it is shown: what was typed stays, with what is wrong about it."""

    name: str
    minimum: int
    maximum: int
    text: str
    is_wrong: bool


@dataclass(frozen=True, slots=True)
class PartView:
    """What somebody plans to use of one modality: the model, its numbers, and the price unless a number is wrong."""

    modality: Modality
    models: tuple[str, ...]
    chosen: str
    numbers: tuple[NumberView, ...]
    cost: Money | None


@dataclass(frozen=True, slots=True)
class EstimatorView:
    """The form with its answers; `total` is there once every number makes sense."""

    parts: tuple[PartView, ...]
    sizes: tuple[str, ...]
    size: str
    total: Money | None

    @property
    def refusal(self) -> InvalidInput | None:
        """The first number that makes no sense."""
        wrong = [number for part in self.parts for number in part.numbers if number.is_wrong]
        if not wrong:
            return None
        first = wrong[0]
        return InvalidInput(first.name, f"A whole number from {first.minimum} to {first.maximum} is expected.")


def estimate(models: Sequence[RateSnapshot], form: Mapping[str, str], currency: Currency) -> EstimatorView:
    """The form and what it would cost; whatever is not in it has a plausible value, so there is always an answer."""
    size = _size(form.get("image_size", ""))
    parts = []
    for modality, fields in _NUMBERS_OF.items():
        rates = {snapshot.model: snapshot for snapshot in models if snapshot.modality is modality}
        if rates:
            parts.append(_part(modality, rates, fields, form, size))
    costs = [part.cost for part in parts]
    total = None if None in costs else sum((cost for cost in costs if cost is not None), Money.zero(currency))
    return EstimatorView(tuple(parts), tuple(_size_text(one) for one in IMAGE_SIZES), _size_text(size), total)


def _part(
    modality: Modality,
    rates: Mapping[str, RateSnapshot],
    fields: Sequence[NumberField],
    form: Mapping[str, str],
    size: tuple[int, int],
) -> PartView:
    wanted = form.get(f"{modality}_model", "")
    chosen = wanted if wanted in rates else next(iter(rates))
    texts = [form.get(field.name, str(field.default)).strip() for field in fields]
    numbers = [_number(text, field) for text, field in zip(texts, fields, strict=True)]
    cost = None
    if None not in numbers:
        cost = _COSTS[modality](rates[chosen], [number or 0 for number in numbers], size)
    views = tuple(
        NumberView(field.name, field.minimum, field.maximum, text[: _DIGITS_MAX * 2], is_wrong=number is None)
        for field, text, number in zip(fields, texts, numbers, strict=True)
    )
    return PartView(modality, tuple(rates), chosen, views, cost)


def _number(text: str, field: NumberField) -> int | None:
    """An empty field means nothing of it; spaces between thousands are how people write."""
    digits = "".join(text.split()) or str(field.minimum)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
        return None
    number = int(digits)
    return number if field.minimum <= number <= field.maximum else None


def _chat(rates: RateSnapshot, numbers: Sequence[int], size: tuple[int, int]) -> Money:
    del size
    input_tokens, output_tokens, turns = numbers
    return chat_cost(rates, input_tokens=input_tokens, output_tokens=output_tokens, turns=turns)


def _images(rates: RateSnapshot, numbers: Sequence[int], size: tuple[int, int]) -> Money:
    return images_cost(rates, count=numbers[0], width=size[0], height=size[1])


def _speech(rates: RateSnapshot, numbers: Sequence[int], size: tuple[int, int]) -> Money:
    del size
    return speech_cost(rates, minutes=numbers[0])


def _transcription(rates: RateSnapshot, numbers: Sequence[int], size: tuple[int, int]) -> Money:
    del size
    return transcription_cost(rates, minutes=numbers[0])


_COSTS: Mapping[Modality, Callable[[RateSnapshot, Sequence[int], tuple[int, int]], Money]] = {
    Modality.TEXT: _chat,
    Modality.IMAGE: _images,
    Modality.SPEECH: _speech,
    Modality.TRANSCRIPTION: _transcription,
}


def _size(text: str) -> tuple[int, int]:
    return next((size for size in IMAGE_SIZES if _size_text(size) == text), IMAGE_SIZES[1])


def _size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"

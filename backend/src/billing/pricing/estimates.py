"""What a plan of use would cost: the same rules as for charges, applied to quantities that somebody imagines."""

from __future__ import annotations

from billing.kit.money import Money
from billing.pricing.rules import RateSnapshot, Unit, image_quantities, price_of

SPEECH_CHARACTERS_PER_MINUTE = 900
"""About as many as are spoken in a minute: 150 words of six characters."""
_MS_PER_MINUTE = 60_000


def chat_cost(rates: RateSnapshot, *, input_tokens: int, output_tokens: int, turns: int) -> Money:
    """A chat that grows: each turn sends what was said before along with its question, and is an operation of its own.

    The tokens are those of one question and of one answer.

    Raises:
        PriceUnknown: these rates do not price text.
    """
    total = Money.zero(rates.currency)
    if input_tokens + output_tokens == 0:
        return total
    for turn in range(turns):
        history = turn * (input_tokens + output_tokens)
        used = {Unit.INPUT: history + input_tokens, Unit.OUTPUT: output_tokens, Unit.REQUEST: 1}
        total += price_of(used, rates)
    return total


def images_cost(rates: RateSnapshot, *, count: int, width: int, height: int) -> Money:
    """So many images of one size, made by one request each.

    Raises:
        PriceUnknown: these rates do not price images.
    """
    one = price_of({**image_quantities([(width, height)], rates), Unit.REQUEST: 1}, rates)
    return Money(one.micros * count, one.currency)


def speech_cost(rates: RateSnapshot, *, minutes: int) -> Money:
    """So many minutes of speech, read out by one request; none of them, no request.

    Raises:
        PriceUnknown: these rates do not price speech.
    """
    characters = minutes * SPEECH_CHARACTERS_PER_MINUTE
    return price_of({Unit.SPEECH_CHARACTERS: characters, Unit.REQUEST: min(minutes, 1)}, rates)


def transcription_cost(rates: RateSnapshot, *, minutes: int) -> Money:
    """So many minutes of a recording, written down by one request; none of them, no request.

    Raises:
        PriceUnknown: these rates do not price transcription.
    """
    return price_of({Unit.TRANSCRIPTION_MS: minutes * _MS_PER_MINUTE, Unit.REQUEST: min(minutes, 1)}, rates)

"""What was used: the provider's count where it is present and sane, our own count of what was delivered otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from billing.pricing.rules import Quantities, Unit
from billing.quotas.rules import Amounts
from billing.usage.rules import EstimateReason

TOKENS_MAX = 10_000_000
"""No call of today uses more than this; a larger number is a mistake of the provider."""

TYPICAL_TOKENS_PER_PICTURE = 1000
"""About what models of today count for a picture or a page; used only where nobody else has counted."""

# How tokenisers of today cut text, on the average: English at four letters a token, other scripts at three bytes.
_ASCII_PER_TOKEN = 4
_OTHER_BYTES_PER_TOKEN = 3
# How far our count of a text can be from that of its tokeniser: long runs of spaces or digits are few tokens.
_MISCOUNT_MAX = 3
_MISCOUNTED_TOKENS_MAX = 50
_INPUT_NAMES = ("prompt_tokens", "input_tokens")
_OUTPUT_NAMES = ("completion_tokens", "output_tokens")
_NOT_GENERATED = frozenset({"role", "id", "type", "finish_reason"})


@dataclass(frozen=True, slots=True)
class Measured:
    """How many of each unit the operation used, and how much of that free quotas count.

    `estimate_reason` says why it is our own count, if it is.
    """

    quantities: Quantities
    free: Amounts
    estimate_reason: EstimateReason | None


@dataclass(slots=True)
class TextTally:
    """Counts texts as they come, piece by piece: the pieces' borders make no difference, the texts are not kept."""

    ascii_bytes: int = 0
    other_bytes: int = 0

    def add(self, text: str) -> None:
        """One more piece."""
        encoded = text.encode(errors="surrogatepass")
        ascii_bytes = len(encoded) if text.isascii() else sum(byte < 0x80 for byte in encoded)  # noqa: PLR2004 - where ASCII ends
        self.ascii_bytes += ascii_bytes
        self.other_bytes += len(encoded) - ascii_bytes

    @property
    def tokens(self) -> int:
        """About how many tokens that was, rounded up."""
        return math.ceil(self.ascii_bytes / _ASCII_PER_TOKEN + self.other_bytes / _OTHER_BYTES_PER_TOKEN)


def typical_tokens(text: str) -> int:
    """About how many tokens a text is, rounded up; used only where nobody else has counted."""
    tally = TextTally()
    tally.add(text)
    return tally.tokens


def token_usage(usage: object) -> Quantities | EstimateReason:
    """The provider's own count, or why it is none. A zero that the provider reports is a zero, not a missing number."""
    if usage is None or usage == {}:
        return EstimateReason.USAGE_MISSING
    if not isinstance(usage, dict):
        return EstimateReason.USAGE_INVALID
    prompt, prompt_details = _named(usage, _INPUT_NAMES)
    output, output_details = _named(usage, _OUTPUT_NAMES)
    if prompt is None or output is None:
        return EstimateReason.USAGE_MISSING
    if not (is_count(prompt, TOKENS_MAX) and is_count(output, TOKENS_MAX)):
        return EstimateReason.USAGE_INVALID
    cached = _part(prompt_details, "cached_tokens", prompt)
    reasoning = _part(output_details, "reasoning_tokens", output)
    return text_quantities(prompt, output, cached_tokens=cached, reasoning_tokens=reasoning)


def text_quantities(
    input_tokens: int, output_tokens: int, *, cached_tokens: int = 0, reasoning_tokens: int = 0
) -> Quantities:
    """One request of so many tokens in and out, each in exactly one pool: the special kinds are parts of the whole."""
    return {
        Unit.INPUT: input_tokens - cached_tokens,
        Unit.CACHED_INPUT: cached_tokens,
        Unit.OUTPUT: output_tokens - reasoning_tokens,
        Unit.REASONING: reasoning_tokens,
        Unit.REQUEST: 1,
    }


def text_measured(quantities: Quantities, estimate_reason: EstimateReason | None) -> Measured:
    """These quantities of text; free quotas count each token with the pool that it is part of."""
    return Measured(quantities, Amounts(tokens_in(quantities), tokens_out(quantities)), estimate_reason)


def counted_text(usage: object, own_count: Callable[[], Quantities]) -> Measured:
    """The provider's count of text, or ours, which is made only where theirs is missing or cannot be meant."""
    told = token_usage(usage)
    if isinstance(told, EstimateReason):
        return text_measured(own_count(), told)
    return text_measured(told, None)


def within_limit(tokens: int, asked: int | None) -> int:
    """Our own count of output, which is about right, held to the limit that the client set, which is exact.

    Far beyond the limit the provider cannot have obeyed it, under whichever name it came: then all that was delivered
    counts.
    """
    if asked is None or tokens > _MISCOUNT_MAX * asked + _MISCOUNTED_TOKENS_MAX:
        return tokens
    return min(tokens, asked)


def tokens_in(quantities: Quantities) -> int:
    """All tokens that went in."""
    return quantities.get(Unit.INPUT, 0) + quantities.get(Unit.CACHED_INPUT, 0)


def tokens_out(quantities: Quantities) -> int:
    """All tokens that came out."""
    return quantities.get(Unit.OUTPUT, 0) + quantities.get(Unit.REASONING, 0)


def texts(root: object, *, without: Iterable[str] = _NOT_GENERATED) -> Iterator[str]:
    """Every text in it, under whatever name a provider delivers it: content, refusal, reasoning, tool calls."""
    skipped = frozenset(without)
    left = [root]
    while left:
        node = left.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, list):
            left.extend(node)
        elif isinstance(node, dict):
            left.extend(value for name, value in node.items() if name not in skipped)


def is_count(value: object, at_most: int) -> TypeGuard[int]:
    """A whole number that can be meant."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= at_most


def _named(usage: dict[str, Any], names: tuple[str, ...]) -> tuple[Any, Any]:
    """The number under the first of the names that has one, with the details that belong to that name."""
    for name in names:
        if usage.get(name) is not None:
            return usage[name], usage.get(f"{name}_details")
    return None, None


def _part(details: object, name: str, whole: int) -> int:
    """How much of the whole is of a special kind; details that contradict the whole are worth nothing."""
    part = details.get(name) if isinstance(details, dict) else None
    return part if is_count(part, whole) else 0

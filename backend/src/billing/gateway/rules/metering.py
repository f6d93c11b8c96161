"""What was used: the provider's count where it is present and sane, our own count of what was delivered otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from billing.gateway.rules.chat_request import ChatRequest
from billing.pricing.rules import Quantities, Unit
from billing.usage.rules import EstimateReason

TOKENS_MAX = 10_000_000
"""No call of today uses more than this; a larger number is a mistake of the provider."""

# How tokenisers of today cut text, on the average: English at four letters a token, other scripts at three bytes.
_ASCII_PER_TOKEN = 4
_OTHER_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 4
_INPUT_NAMES = ("prompt_tokens", "input_tokens")
_OUTPUT_NAMES = ("completion_tokens", "output_tokens")
_NOT_GENERATED = frozenset({"role", "id", "type", "finish_reason"})
_PROMPT_MEMBERS = ("messages", "tools", "functions", "response_format")


@dataclass(frozen=True, slots=True)
class Measured:
    """How many of each unit the operation used; `estimate_reason` says why it is our own count, if it is."""

    quantities: Quantities
    estimate_reason: EstimateReason | None

    @property
    def input_tokens(self) -> int:
        """All tokens that went in."""
        return self.quantities[Unit.INPUT] + self.quantities[Unit.CACHED_INPUT]

    @property
    def output_tokens(self) -> int:
        """All tokens that came out."""
        return self.quantities[Unit.OUTPUT] + self.quantities[Unit.REASONING]


def measure(request: ChatRequest, completion: Mapping[str, Any]) -> Measured:
    """What this call used. A zero that the provider reports is a zero, not a missing number."""
    counted = _provider_count(completion.get("usage"))
    if isinstance(counted, EstimateReason):
        return Measured(_own_count(request, completion), counted)
    return Measured(counted, None)


def typical_tokens(text: str) -> int:
    """About how many tokens a text is, rounded up; used only where nobody else has counted."""
    encoded = text.encode(errors="surrogatepass")
    ascii_count = sum(byte < 0x80 for byte in encoded)  # noqa: PLR2004 - where ASCII ends
    return math.ceil(ascii_count / _ASCII_PER_TOKEN + (len(encoded) - ascii_count) / _OTHER_BYTES_PER_TOKEN)


def _provider_count(usage: object) -> Quantities | EstimateReason:
    if usage is None or usage == {}:
        return EstimateReason.USAGE_MISSING
    if not isinstance(usage, dict):
        return EstimateReason.USAGE_INVALID
    prompt, prompt_details = _named(usage, _INPUT_NAMES)
    output, output_details = _named(usage, _OUTPUT_NAMES)
    if prompt is None or output is None:
        return EstimateReason.USAGE_MISSING
    if not (_is_count(prompt, TOKENS_MAX) and _is_count(output, TOKENS_MAX)):
        return EstimateReason.USAGE_INVALID
    cached = _part(prompt_details, "cached_tokens", prompt)
    reasoning = _part(output_details, "reasoning_tokens", output)
    return {
        Unit.INPUT: prompt - cached,
        Unit.CACHED_INPUT: cached,
        Unit.OUTPUT: output - reasoning,
        Unit.REASONING: reasoning,
    }


def _named(usage: dict[str, Any], names: tuple[str, ...]) -> tuple[Any, Any]:
    """The number under the first of the names that has one, with the details that belong to that name."""
    for name in names:
        if usage.get(name) is not None:
            return usage[name], usage.get(f"{name}_details")
    return None, None


def _part(details: object, name: str, whole: int) -> int:
    """How much of the whole is of a special kind; details that contradict the whole are worth nothing."""
    part = details.get(name) if isinstance(details, dict) else None
    return part if _is_count(part, whole) else 0


def _is_count(value: object, at_most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= at_most


def _own_count(request: ChatRequest, completion: Mapping[str, Any]) -> Quantities:
    """An estimate never goes beyond what the call was let in with."""
    prompt = [request.fields.get(member) for member in _PROMPT_MEMBERS]
    messages = len(request.fields["messages"])
    input_tokens = _TOKENS_PER_MESSAGE * messages + sum(typical_tokens(text) for text in _texts(prompt))
    delivered = [choice.get("message") for choice in completion["choices"]]
    output_tokens = sum(typical_tokens(text) for text in _texts(delivered))
    return {
        Unit.INPUT: min(input_tokens, request.input_tokens_bound),
        Unit.CACHED_INPUT: 0,
        Unit.OUTPUT: min(output_tokens, request.output_tokens_bound),
        Unit.REASONING: 0,
    }


def _texts(root: object) -> Iterator[str]:
    """Every text in it, under whatever name a provider delivers it: content, refusal, reasoning, tool calls."""
    left = [root]
    while left:
        node = left.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, list):
            left.extend(node)
        elif isinstance(node, dict):
            left.extend(value for name, value in node.items() if name not in _NOT_GENERATED)

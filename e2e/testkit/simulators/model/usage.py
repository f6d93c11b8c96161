"""What an answer says of its usage: rightly, or in one of the ways in which upstream models fail to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testkit.simulators.faults import Fault, UsagePlacement, UsageVariant


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. `cached` are among those of the input, `reasoning` among those of the output."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0

    def times(self, factor: int) -> "Usage":
        """Every count multiplied."""
        return Usage(self.input * factor, self.output * factor, self.cached * factor, self.reasoning * factor)


Names = Callable[[Usage], dict[str, Any]]
"""How a route writes usage down."""


def prompt_names(usage: Usage) -> dict[str, Any]:
    """As chat and completions write it."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def embedding_names(usage: Usage) -> dict[str, Any]:
    """As embeddings write it."""
    return {"prompt_tokens": usage.input, "total_tokens": usage.input}


def input_names(usage: Usage) -> dict[str, Any]:
    """As responses write it."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def image_names(usage: Usage) -> dict[str, Any]:
    """As images write it."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"text_tokens": usage.input, "image_tokens": 0},
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }


def usage_member(usage: Usage, names: Names, fault: Fault | None) -> dict[str, Any]:
    """The member `usage` of an answer, as an object to merge into it; empty where usage is absent."""
    if fault is None or fault.usage_variant is None:
        return {"usage": names(usage)}
    told: dict[UsageVariant, dict[str, Any]] = {
        UsageVariant.ABSENT: {},
        UsageVariant.NULL: {"usage": None},
        UsageVariant.EMPTY: {"usage": {}},
        UsageVariant.ZERO: {"usage": names(usage.times(0))},
        UsageVariant.NEGATIVE: {"usage": names(usage.times(-1))},
        UsageVariant.OTHER_NAMES: {"usage": _other_names(usage, names)},
    }
    return told[fault.usage_variant]


def placement_of(fault: Fault | None) -> UsagePlacement:
    """Where a stream tells its usage."""
    planned = None if fault is None else fault.usage_placement
    return planned or UsagePlacement.OWN_CHUNK


def _other_names(usage: Usage, names: Names) -> dict[str, Any]:
    """Without details, as the proxies write it that translate between the two."""
    if names in {input_names, image_names}:
        return {"prompt_tokens": usage.input, "completion_tokens": usage.output}
    if names is embedding_names:
        return {"input_tokens": usage.input}
    return {"input_tokens": usage.input, "output_tokens": usage.output}

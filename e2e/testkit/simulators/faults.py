"""What can go wrong on the way to a provider and back, planned call by call."""

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from testkit.simulators.deliveries import Delivery

EVERY_OPERATION = "*"


class FaultKind(StrEnum):
    """How one call goes wrong."""

    DELAY = "delay"
    """The right answer, `seconds` late."""
    HANG = "hang"
    """No answer: the connection stays open until the client gives up, `seconds` at most."""
    RESET = "reset"
    """The connection is torn down (TCP RST) instead of an answer."""
    HALF_RESPONSE = "half_response"
    """The headers and half of the right answer, then the connection ends."""
    MALFORMED_JSON = "malformed_json"
    """Status 200, `application/json`, and a body that stops in the middle of the document."""
    EMPTY_BODY = "empty_body"
    """Status 200, `application/json`, nothing else."""
    WRONG_JSON = "wrong_json"
    """Status 200, and good JSON of a shape that nobody asked for."""
    SLOW_DRIP = "slow_drip"
    """The right answer, a byte at a time: so slowly that all of it takes `seconds`."""
    ALTERED = "altered"
    """The right answer with `changes` merged in as RFC 7396 says: a wrong amount, a forged extra, a missing member.

    Of a stream the last event that is JSON is changed.
    """
    DELIVERED = "delivered"
    """The right answer, on the way that `delivery` describes."""
    USAGE = "usage"
    """The model's answer with its usage counted the way `usage_variant` says, told where `usage_placement` says."""
    PRODUCED = "produced"
    """The model makes other images than it was asked for: those of `produced`."""
    REFUSED = "refused"
    """Any `status` from 400 to 599 in the provider's error shape."""
    RATE_LIMITED = "rate_limited"
    """429 in the provider's error shape, with `Retry-After`."""
    SERVER_ERROR = "server_error"
    """500 in the provider's error shape."""
    BAD_GATEWAY_HTML = "bad_gateway_html"
    """502 with a proxy's HTML page."""
    UNAVAILABLE = "unavailable"
    """503 in the provider's error shape, with `Retry-After` if `retry_after_seconds` is given."""
    GATEWAY_TIMEOUT = "gateway_timeout"
    """504 with a proxy's HTML page."""


RIGHT_ANSWERS = frozenset({FaultKind.DELIVERED, FaultKind.USAGE, FaultKind.PRODUCED, FaultKind.ALTERED})
"""The kinds whose answer is a good one as far as HTTP goes, so that it can travel in any way."""


class Effect(StrEnum):
    """Whether the provider carried out what was asked before the call went wrong."""

    NONE = "none"
    DONE = "done"


class UsageVariant(StrEnum):
    """Ways in which upstream models report their usage, or fail to."""

    ABSENT = "absent"
    NULL = "null"
    EMPTY = "empty"
    ZERO = "zero"
    NEGATIVE = "negative"
    OTHER_NAMES = "other_names"
    """`input_tokens`, `output_tokens` where the route says `prompt_tokens`, `completion_tokens`, or the reverse."""


class UsagePlacement(StrEnum):
    """Where in a stream upstream models report their usage."""

    OWN_CHUNK = "own_chunk"
    """In a last chunk without choices, as OpenAI does."""
    LAST_CHUNK = "last_chunk"
    """In the chunk that says why the reply ends."""
    EVERY_CHUNK = "every_chunk"
    """Counted so far, in every chunk."""


class Produced(BaseModel):
    """Images as the model makes them, whatever it was asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int | None = Field(default=None, ge=0, le=10)
    size: str | None = Field(default=None, pattern=r"^[1-9]\d{0,3}x[1-9]\d{0,3}$")


class Fault(BaseModel):
    """One planned fault: the next `times` calls of `operation` go wrong this way.

    `effect` matters for hang, reset, delay and the error statuses. The kinds that spoil an answer need one, so their
    effect is always done.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    operation: str = EVERY_OPERATION
    times: int = Field(default=1, ge=1, le=10_000)
    effect: Effect = Effect.NONE
    seconds: float = Field(default=30.0, ge=0, le=120)
    retry_after_seconds: int | None = Field(default=None, ge=0)
    changes: dict[str, Any] | None = None
    usage_variant: UsageVariant | None = None
    usage_placement: UsagePlacement | None = None
    produced: Produced | None = None
    status: int | None = Field(default=None, ge=400, le=599)
    delivery: Delivery | None = None
    """Needed by the kind `delivered`; may come with the kinds `altered`, `usage` and `produced` too."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        given = {
            "changes": (self.changes is not None, {FaultKind.ALTERED}),
            "usage_variant or usage_placement": (bool(self.usage_variant or self.usage_placement), {FaultKind.USAGE}),
            "produced": (self.produced is not None, {FaultKind.PRODUCED}),
            "status": (self.status is not None, {FaultKind.REFUSED}),
        }
        for name, (is_given, kinds) in given.items():
            if is_given != (self.kind in kinds):
                message = f"`{name}` belongs to the kind `{min(kinds)}`, and only there"
                raise ValueError(message)
        if self.delivery is None and self.kind is FaultKind.DELIVERED:
            message = "the kind `delivered` needs a `delivery`"
            raise ValueError(message)
        if self.delivery is not None and self.kind not in RIGHT_ANSWERS:
            message = f"the kind `{self.kind}` has no answer to deliver"
            raise ValueError(message)
        return self


class FaultPlan:
    """The faults still to come, in the order in which they were planned."""

    def __init__(self) -> None:
        self._pending: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Plans a fault behind those already planned."""
        self._pending.append((fault, fault.times))

    def take(self, operation: str) -> Fault | None:
        """The fault for a call of this operation that begins now, used up by one; None when the call goes well."""
        for index, (fault, times_left) in enumerate(self._pending):
            if fault.operation in {operation, EVERY_OPERATION}:
                self._pending[index : index + 1] = [(fault, times_left - 1)] if times_left > 1 else []
                return fault
        return None

    def pending(self) -> list[Fault]:
        """The faults not used up, each with the `times` that are left."""
        return [fault.model_copy(update={"times": times_left}) for fault, times_left in self._pending]

    def clear(self) -> None:
        """Forgets every planned fault."""
        self._pending.clear()


def merge_patch(target: Any, patch: Any) -> Any:
    """`target` changed as RFC 7396 says: objects merge, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged

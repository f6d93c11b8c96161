"""What can go wrong on the way to a provider and back, planned call by call."""

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
    ALTERED = "altered"
    """The right answer with `changes` merged in as RFC 7396 says: a wrong amount, a forged extra, a missing member."""
    USAGE = "usage"
    """The model's answer with its usage counted the way `usage_variant` says."""
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

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        if (self.kind is FaultKind.ALTERED) != (self.changes is not None):
            message = "`changes` belongs to the kind `altered`, and only there"
            raise ValueError(message)
        if (self.kind is FaultKind.USAGE) != (self.usage_variant is not None):
            message = "`usage_variant` belongs to the kind `usage`, and only there"
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

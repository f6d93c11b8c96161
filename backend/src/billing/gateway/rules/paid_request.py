"""What every door's request can do: bound its cost, go to the provider, read the answer and count what was used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from billing.gateway.rules.doors import Door
from billing.gateway.rules.metering import Measured
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.stream_metering import StreamMeter
from billing.pricing.rules import Quantities, RateSnapshot
from billing.quotas.rules import Amounts


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as the client sent it."""

    content: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as the provider gets it."""

    content: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A whole answer as the client gets it: the very bytes, so that nothing is charged and then stuck.

    `body` is its JSON object where it is one; `model_used` is what the provider calls the model that answered.
    """

    content: bytes
    content_type: str
    body: Mapping[str, Any] | None
    model_used: str


@dataclass(frozen=True, slots=True)
class QuoteBounds:
    """What the installation assumes and allows where a request leaves things open."""

    output_tokens_default: int
    image_tokens_max: int
    choices_max: int
    image_side_max: int = 2048


class PaidRequest(Protocol):
    """A request that makes sense; one frozen class for each door."""

    @property
    def door(self) -> Door:
        """The route that it came through."""
        ...

    @property
    def model(self) -> str:
        """The name of the model that it asks for."""
        ...

    @property
    def is_stream(self) -> bool:
        """It asks for its answer piece by piece."""
        ...

    def bounds(self, rates: RateSnapshot) -> Quantities:
        """The most that it can use, as these rates count it; always with one `Unit.REQUEST`."""
        ...

    @property
    def free_bounds(self) -> Amounts:
        """The most that it can use, as free quotas count it."""
        ...

    def for_upstream(self, upstream_model: str) -> Outgoing:
        """The request as the provider gets it."""
        ...

    def read(self, reply: UpstreamReply, *, public_model: str, upstream_model: str) -> Delivery:
        """The provider's answer (its status is below 400) under the model's public name.

        Raises:
            UpstreamBroken: it claims success without an answer, or is no answer of an API at all.
        """
        ...

    def measure(self, delivery: Delivery, rates: RateSnapshot) -> Measured:
        """What the answer used."""
        ...

    def stream_meter(self, rates: RateSnapshot, *, public_model: str, upstream_model: str) -> StreamMeter:
        """What reads and counts the answer of a request that `is_stream`, event by event."""
        ...

"""What endpoints, deliveries and replays look like in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from billing.webhooks.outbound.event_types import CATALOGUE
from billing.webhooks.outbound.replays import ReplayOrder
from billing.webhooks.outbound.rules import (
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Endpoint,
    EndpointStatus,
    Outcome,
    WantedEndpoint,
)
from billing.webhooks.outbound.service import NewSecret

_TEXT_LENGTH_MAX = 4096

EventType = Annotated[str, Field(max_length=100)]


class EndpointRequest(BaseModel):
    """What an endpoint is to be; `event_types` null is everything."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=_TEXT_LENGTH_MAX, examples=["https://shop.example/billing-webhooks"])
    description: str = Field(default="", max_length=_TEXT_LENGTH_MAX)
    event_types: list[EventType] | None = Field(default=None, max_length=len(CATALOGUE))
    enabled: bool = True

    def wanted(self) -> WantedEndpoint:
        """The same as a value."""
        return WantedEndpoint(self.url, self.description, self.event_types, self.enabled)


class EndpointView(BaseModel):
    """An endpoint without its secret; `failing_since` says that nothing was accepted since then."""

    id: str
    url: str
    description: str
    event_types: list[str] | None
    status: EndpointStatus
    disabled_reason: DisabledReason | None
    disabled_at: datetime | None
    failing_since: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """The endpoint as its account sees it."""
        return cls(
            id=endpoint.id,
            url=endpoint.url,
            description=endpoint.description,
            event_types=None if endpoint.event_types is None else sorted(endpoint.event_types),
            status=endpoint.status,
            disabled_reason=endpoint.disabled_reason,
            disabled_at=endpoint.disabled_at,
            failing_since=endpoint.spell.failing_since,
            created_at=endpoint.created_at,
        )


class EndpointList(BaseModel):
    """All endpoints of the account, oldest first."""

    items: list[EndpointView]


class NewSecretView(BaseModel):
    """An endpoint with its new secret, which is shown here and never again."""

    secret: str
    endpoint: EndpointView

    @classmethod
    def of(cls, new: NewSecret) -> Self:
        """The endpoint and its secret."""
        return cls(secret=new.secret, endpoint=EndpointView.of(new.endpoint))


class EventTypeView(BaseModel):
    """One type of the catalogue."""

    type: str
    meaning: str


class EventTypeList(BaseModel):
    """Everything that endpoints can be told."""

    items: list[EventTypeView]


class TestView(BaseModel):
    """A test message that is on its way."""

    message_id: str


class ReplayRequest(BaseModel):
    """What is to be sent again: one message, or all since a moment."""

    model_config = ConfigDict(extra="forbid")

    message_id: str | None = Field(default=None, max_length=100)
    since: AwareDatetime | None = None

    def order(self) -> ReplayOrder:
        """The same as a value."""
        return ReplayOrder(self.message_id, self.since)


class ReplayView(BaseModel):
    """How many messages are sent again."""

    deliveries: int


class DeliveryView(BaseModel):
    """One message on its way to the endpoint, and how the last attempt ended."""

    id: str
    message_id: str
    type: str
    is_replay: bool
    status: DeliveryStatus
    attempts: int
    last_outcome: Outcome | None
    last_status: int | None
    last_attempted_at: datetime | None
    created_at: datetime
    next_attempt_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """The delivery as its account sees it."""
        return cls(
            id=delivery.id,
            message_id=delivery.message_id,
            type=delivery.type,
            is_replay=delivery.is_replay,
            status=delivery.status,
            attempts=delivery.attempts,
            last_outcome=delivery.last_outcome,
            last_status=delivery.last_status,
            last_attempted_at=delivery.last_attempted_at,
            created_at=delivery.created_at,
            next_attempt_at=delivery.due_at,
            ended_at=delivery.ended_at,
        )


class DeliveryPage(BaseModel):
    """Some deliveries, the newest first, and the cursor of the next page."""

    items: list[DeliveryView]
    next_cursor: str | None

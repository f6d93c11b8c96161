"""What is sent to whom, when it is tried again, and when an endpoint is switched off: decided purely."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NewType

from billing.kit.errors import InvalidInput
from billing.webhooks.outbound.event_types import CATALOGUE

EndpointId = NewType("EndpointId", str)

LEASE = timedelta(minutes=10)
"""An endpoint whose job has said nothing for so long is visited once more."""
DISABLED_AFTER = timedelta(days=5)
"""An endpoint that has failed for so long is switched off."""
KEPT_DELIVERIES = timedelta(days=30)
KEPT_MESSAGES = timedelta(days=90)
"""What is older is forgotten: deliveries that ended, messages that were routed."""
WAITING_MAX = 2000
"""So many deliveries may wait for one endpoint before tests and replays are refused."""
DESCRIPTION_LENGTH_MAX = 200
_GONE = 410
_JITTER = 0.2
# The schedule that Standard Webhooks recommends: ten attempts within 76 hours.
_WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
# Attempts of one spell are at most a jittered day apart; a failure long after the last one begins a new spell.
_SPELL_ENDS_AFTER = timedelta(hours=36)
# A message names things by our own ids. Whoever records an event keeps people out of it; this is the second lock.
_PERSONAL = frozenset({"address", "contact", "email", "ip", "name", "phone", "title", "user_agent"})


class EndpointStatus(StrEnum):
    """Whether messages are sent there."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    """Why an endpoint is switched off."""

    OWNER = "owner"
    """Somebody of the account did it."""
    FAILING = "failing"
    """It has accepted nothing for days."""
    GONE = "gone"
    """It answered 410: it wants no messages any more."""


class DeliveryStatus(StrEnum):
    """Where a delivery stands; only waiting ones are sent."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    """All attempts failed."""
    CANCELED = "canceled"
    """The endpoint was switched off while it waited."""


class Outcome(StrEnum):
    """How one attempt ended, in our own words: of what the other side says only the status is kept."""

    ACCEPTED = "accepted"
    """A status of 200 to 299."""
    REFUSED = "refused"
    """Any other status; a redirect is one, because it is not followed."""
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    """No such name, no connection, or none that proves to be the right one's."""
    BROKEN = "broken"
    """The connection broke before there was a status, or what came is not HTTP."""
    ADDRESS_REFUSED = "address_refused"
    """The name leads to an address that is not open."""
    NOT_SIGNED = "not_signed"
    """The key of the endpoint's secret is not configured here any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt ended; `status` where there was one."""

    outcome: Outcome
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """Something that happened to an account, as it is sent."""

    id: str
    account_id: str
    type: str
    subject: str
    data: Mapping[str, object]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an endpoint wants to be told; None for everything."""

    endpoint_id: EndpointId
    account_id: str
    event_types: frozenset[str] | None

    def wants(self, message: Message) -> bool:
        """Whether the message is about its account and of a type that it asked for."""
        is_own = self.account_id == message.account_id
        return is_own and (self.event_types is None or message.type in self.event_types)


@dataclass(frozen=True, slots=True)
class Spell:
    """How long an endpoint has been failing, without a success in between; both None where it is not."""

    failing_since: datetime | None = None
    last_failed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that an account wants to be told at, and whether it is."""

    id: EndpointId
    account_id: str
    url: str
    description: str
    event_types: frozenset[str] | None
    status: EndpointStatus
    disabled_reason: DisabledReason | None
    disabled_at: datetime | None
    spell: Spell
    created_at: datetime

    def disabled(self, reason: DisabledReason, at: datetime) -> Endpoint:
        """The endpoint, switched off."""
        return replace(self, status=EndpointStatus.DISABLED, disabled_reason=reason, disabled_at=at)

    def enabled(self) -> Endpoint:
        """The endpoint, switched on, with its failures forgotten."""
        return replace(self, status=EndpointStatus.ENABLED, disabled_reason=None, disabled_at=None, spell=Spell())


@dataclass(frozen=True, slots=True)
class WantedEndpoint:
    """What an endpoint is to be, as it came from outside."""

    url: str
    description: str = ""
    event_types: Collection[str] | None = None
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one endpoint, as its account sees it."""

    id: str
    position: int
    message_id: str
    type: str
    is_replay: bool
    status: DeliveryStatus
    attempts: int
    last_outcome: Outcome | None
    last_status: int | None
    last_attempted_at: datetime | None
    created_at: datetime
    due_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows from one attempt, for the delivery and for its endpoint."""

    status: DeliveryStatus
    due_at: datetime | None
    spell: Spell
    disables: DisabledReason | None = None


def routes(messages: Iterable[Message], subscriptions: Sequence[Subscription]) -> list[tuple[EndpointId, str]]:
    """Which message goes to which endpoint, in the messages' order."""
    return [(one.endpoint_id, message.id) for message in messages for one in subscriptions if one.wants(message)]


def ruling(answer: Answer, *, attempts: int, spell: Spell, now: datetime, chance: float) -> Ruling:
    """What follows from the answer to attempt number `attempts`; `chance` is from 0 to 1 and lengthens the wait."""
    if answer.outcome is Outcome.ACCEPTED:
        return Ruling(DeliveryStatus.DELIVERED, None, Spell())
    spell = _prolonged(spell, now)
    if answer.status == _GONE:
        return Ruling(DeliveryStatus.CANCELED, None, spell, DisabledReason.GONE)
    assert spell.failing_since is not None, "this attempt failed"
    if now - spell.failing_since >= DISABLED_AFTER:
        return Ruling(DeliveryStatus.CANCELED, None, spell, DisabledReason.FAILING)
    wait = wait_after(attempts, chance)
    if wait is None:
        return Ruling(DeliveryStatus.GIVEN_UP, None, spell)
    return Ruling(DeliveryStatus.WAITING, now + wait, spell)


def wait_after(attempts: int, chance: float) -> timedelta | None:
    """How long to wait after this many failed attempts, up to a fifth longer by chance; None gives up."""
    return _WAITS[attempts - 1] * (1 + _JITTER * chance) if attempts <= len(_WAITS) else None


def body_of(message: Message) -> str:
    """What is sent: `{type, timestamp, data}`, the same text at every attempt, without personal data."""
    data: dict[str, object] = {"account_id": message.account_id}
    if message.subject:
        data["subject"] = message.subject
    stamp = message.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps(
        {"type": message.type, "timestamp": stamp, "data": {**_impersonal(message.data), **data}},
        sort_keys=True,
        separators=(",", ":"),
    )


def check_event_types(types: Collection[str] | None) -> frozenset[str] | None:
    """The types that an endpoint asks for; None for all, also those that come later.

    Raises:
        InvalidInput: an empty list, or a type that the catalogue does not have.
    """
    if types is None:
        return None
    wanted = frozenset(types)
    if not wanted or wanted - CATALOGUE.keys():
        raise InvalidInput("event_types", "event_types is null, or names types of the catalogue.")
    return wanted


def check_description(text: str) -> str:
    """A note of the account's people for themselves, trimmed.

    Raises:
        InvalidInput: longer than 200 characters, or with control characters in it.
    """
    note = text.strip()
    if len(note) > DESCRIPTION_LENGTH_MAX or not (note.isprintable() or not note):
        raise InvalidInput("description", f"A description has at most {DESCRIPTION_LENGTH_MAX} printable characters.")
    return note


def _prolonged(spell: Spell, now: datetime) -> Spell:
    is_same = spell.last_failed_at is not None and now - spell.last_failed_at <= _SPELL_ENDS_AFTER
    return Spell(spell.failing_since if is_same else now, now)


def _impersonal(data: Mapping[str, object]) -> dict[str, object]:
    return {name: _impersonal_value(value) for name, value in data.items() if name not in _PERSONAL}


def _impersonal_value(value: object) -> object:
    if isinstance(value, Mapping):
        return _impersonal(value)
    return [_impersonal_value(one) for one in value] if isinstance(value, list) else value

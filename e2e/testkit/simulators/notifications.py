"""Notifications to a shop: sent in order, tried again a few times, held back, repeated, lost or forged on request."""

import asyncio
import contextlib
import functools
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field

from testkit.simulators.clock import MovableClock, iso_milliseconds

LATE_SECONDS = 60.0
"""How late a late notification is unless something else is said."""

_ANSWER_SECONDS_MAX = 10.0
_REPEATS_MAX = 1000

Envelope = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Makes a notification's body from its event and the object as it is at that moment."""

Signature = Callable[[bytes], Mapping[str, str]]
"""The headers that prove a body's origin, made anew for each attempt."""


class NotificationUnknownError(Exception):
    """There is no notification of this id."""


class DeliveryMode(StrEnum):
    """What happens to a new notification."""

    DELIVER = "deliver"
    HOLD = "hold"
    LOSE = "lose"
    DUPLICATE = "duplicate"
    """It is delivered twice, one after the other."""
    REORDER = "reorder"
    """It is held until the next one comes, and delivered after that."""
    LATE = "late"
    """It is held for a while of the simulator's time, and delivered then."""


class DeliveryState(StrEnum):
    """Where one notification stands."""

    QUEUED = "queued"
    HELD = "held"
    DELIVERED = "delivered"
    """The shop answered 2xx at least once."""
    FAILED = "failed"
    """Every attempt was refused or went unanswered."""
    LOST = "lost"
    UNADDRESSED = "unaddressed"
    """There was no webhook address when it happened."""


class WebhookTarget(BaseModel):
    """Where notifications go and how they look from there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    source_address: str = "127.0.0.1"
    """The loopback address that the connection comes from, for instance 127.0.0.2."""
    query: dict[str, str] = Field(default_factory=dict)
    """Added to the address, as in `{"token": "..."}`."""
    headers: dict[str, str] = Field(default_factory=dict)
    attempts_max: int = Field(default=3, ge=1, le=20)
    retry_delay_seconds: float = Field(default=0.2, ge=0, le=60)


class Attempt(BaseModel):
    """One try to deliver: the status that the shop answered, or the error that kept it from answering."""

    at: str
    source_address: str
    status: int | None = None
    error: str | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether the shop answered 2xx."""
        return self.status is not None and httpx.codes.is_success(self.status)


class Notification(BaseModel):
    """One event with the object as it was then."""

    id: str
    event: str
    object_id: str
    body: dict[str, Any]
    state: DeliveryState
    copies: int = 1
    """How often it is delivered by itself."""
    attempts: list[Attempt] = Field(default_factory=list)


class Notifier:
    """Delivers notifications one after the other, in the order of their events."""

    def __init__(
        self,
        clock: MovableClock,
        target: WebhookTarget | None,
        *,
        envelope: Envelope,
        sign: Signature = lambda _: {},
    ) -> None:
        self._clock = clock
        self._first_target = target
        self._envelope = envelope
        self._sign = sign
        self.target = target
        self.mode = DeliveryMode.DELIVER
        self.late_seconds = LATE_SECONDS
        self._notifications: dict[str, Notification] = {}
        self._queue: asyncio.Queue[Notification] = asyncio.Queue()
        self._overtaken: Notification | None = None
        self._late: list[tuple[datetime, Notification]] = []

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Delivers queued notifications until the block is left."""
        worker = asyncio.create_task(self._deliver_queued())
        try:
            yield
        finally:
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker

    def announce(self, event: str, snapshot: dict[str, Any]) -> None:
        """Notes an event and does with its notification what the mode says."""
        notification = self._noted(event, snapshot)
        match self.mode:
            case DeliveryMode.LOSE:
                notification.state = DeliveryState.LOST
            case DeliveryMode.HOLD:
                notification.state = DeliveryState.HELD
            case _ if self.target is None:
                notification.state = DeliveryState.UNADDRESSED
            case DeliveryMode.DELIVER:
                self._queue.put_nowait(notification)
            case DeliveryMode.DUPLICATE:
                notification.copies = 2
                self._queue.put_nowait(notification)
            case DeliveryMode.REORDER:
                self._let_overtake(notification)
            case DeliveryMode.LATE:
                self._delay(notification)

    def let_late_ones_go(self) -> None:
        """Delivers what was to be late, as far as its time has come."""
        now = self._clock.now()
        due = [notification for due_at, notification in self._late if due_at <= now]
        self._late = [entry for entry in self._late if entry[0] > now]
        for notification in due:
            self._requeue(notification)

    def all(self) -> list[Notification]:
        """Every notification, oldest first."""
        return list(self._notifications.values())

    def of_id(self, notification_id: str) -> Notification:
        """The notification of this id.

        Raises:
            NotificationUnknownError: There is none.
        """
        if notification_id not in self._notifications:
            raise NotificationUnknownError(notification_id)
        return self._notifications[notification_id]

    async def release(self, notification_ids: Iterable[str] | None) -> list[Notification]:
        """Delivers held or unaddressed notifications now, in the given order; without ids, all of them, oldest first.

        Raises:
            NotificationUnknownError: An id is unknown; nothing is delivered then.
        """
        if notification_ids is None:
            waiting = {DeliveryState.HELD, DeliveryState.UNADDRESSED}
            released = [item for item in self.all() if item.state in waiting]
        else:
            released = [self.of_id(notification_id) for notification_id in notification_ids]
        for notification in released:
            await self._deliver(notification)
        return released

    async def repeat(self, notification_id: str, *, times: int, at_once: bool) -> Notification:
        """Delivers a notification again, `times` times, one after the other or all at the same moment.

        Raises:
            NotificationUnknownError: There is none of this id.
        """
        notification = self.of_id(notification_id)
        if at_once:
            await asyncio.gather(*(self._deliver(notification) for _ in range(min(times, _REPEATS_MAX))))
        else:
            for _ in range(min(times, _REPEATS_MAX)):
                await self._deliver(notification)
        return notification

    def lose(self, notification_id: str) -> Notification:
        """Makes sure that a held or unaddressed notification never arrives by itself.

        Raises:
            NotificationUnknownError: There is none of this id.
        """
        notification = self.of_id(notification_id)
        notification.state = DeliveryState.LOST
        return notification

    async def forge(self, event: str, snapshot: dict[str, Any], *, target: WebhookTarget | None) -> Notification:
        """Delivers a notification about something that never happened, once; `target` stands in for the usual one."""
        notification = self._noted(event, snapshot)
        target = target or self.target
        if target is None:
            notification.state = DeliveryState.UNADDRESSED
        else:
            await self._attempt(notification, target)
        return notification

    async def wait_until_idle(self, seconds_max: float) -> bool:
        """Waits until nothing is queued or under way; says whether that came true in time."""
        try:
            await asyncio.wait_for(self._queue.join(), seconds_max)
        except TimeoutError:
            return False
        return True

    def clear(self) -> None:
        """Forgets everything and goes back to the first target; what is under way ends unseen."""
        self._notifications = {}
        self._overtaken, self._late = None, []
        self.mode, self.late_seconds = DeliveryMode.DELIVER, LATE_SECONDS
        self.target = self._first_target

    def _let_overtake(self, notification: Notification) -> None:
        earlier, self._overtaken = self._overtaken, None
        if earlier is None:
            notification.state = DeliveryState.HELD
            self._overtaken = notification
        else:
            self._queue.put_nowait(notification)
            self._requeue(earlier)

    def _delay(self, notification: Notification) -> None:
        notification.state = DeliveryState.HELD
        self._late.append((self._clock.now() + timedelta(seconds=self.late_seconds), notification))
        # Its time also comes when nobody moves the clock.
        asyncio.get_running_loop().call_later(self.late_seconds, self.let_late_ones_go)

    def _requeue(self, notification: Notification) -> None:
        """Queues what was held, unless it was released or lost by hand meanwhile."""
        if notification.state is DeliveryState.HELD:
            notification.state = DeliveryState.QUEUED
            self._queue.put_nowait(notification)

    def _noted(self, event: str, snapshot: dict[str, Any]) -> Notification:
        notification = Notification(
            id=f"ntf_{len(self._notifications) + 1:06d}",
            event=event,
            object_id=str(snapshot.get("id", "")),
            body=self._envelope(event, snapshot),
            state=DeliveryState.QUEUED,
        )
        self._notifications[notification.id] = notification
        return notification

    async def _deliver_queued(self) -> None:
        while True:
            notification = await self._queue.get()
            try:
                # It may have been lost by hand, or forgotten, while it waited.
                if notification.state is DeliveryState.QUEUED and notification.id in self._notifications:
                    for _ in range(notification.copies):
                        await self._deliver(notification)
            finally:
                self._queue.task_done()

    async def _deliver(self, notification: Notification) -> None:
        target = self.target
        if target is None:
            notification.state = DeliveryState.UNADDRESSED
            return
        for attempt_number in range(1, target.attempts_max + 1):
            attempt = await self._attempt(notification, target)
            if attempt.is_confirmed:
                return
            if attempt_number < target.attempts_max:
                await asyncio.sleep(target.retry_delay_seconds)

    async def _attempt(self, notification: Notification, target: WebhookTarget) -> Attempt:
        attempt = Attempt(at=iso_milliseconds(self._clock.now()), source_address=target.source_address)
        try:
            attempt.status = await _post(_written(notification.body), target, self._sign)
        except httpx.HTTPError as error:
            attempt.error = type(error).__name__
        notification.attempts.append(attempt)
        confirmed = any(earlier.is_confirmed for earlier in notification.attempts)
        notification.state = DeliveryState.DELIVERED if confirmed else DeliveryState.FAILED
        return attempt


def _written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


async def _post(body: bytes, target: WebhookTarget, sign: Signature) -> int:
    # Each delivery has a connection of its own, as if each came from another machine of the provider.
    transport = httpx.AsyncHTTPTransport(local_address=target.source_address, verify=_tls())
    async with httpx.AsyncClient(transport=transport, timeout=_ANSWER_SECONDS_MAX, trust_env=False) as client:
        url = httpx.URL(target.url).copy_merge_params(target.query)
        headers = {"Content-Type": "application/json", **sign(body), **target.headers}
        answer = await client.post(url, content=body, headers=headers)
    return answer.status_code


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading the certificate authorities takes longer than a whole delivery on loopback."""
    return httpx.create_ssl_context()

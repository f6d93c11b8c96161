"""The desk where operators read the inbox of notifications, and have one handled again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from billing.customers.audit import AuditTrail
from billing.customers.rules import Principal, check_reason, require_operator
from billing.kit.clock import Clock
from billing.kit.unit_of_work import Begin
from billing.webhooks.oversight import InboxOversight, Message, Refusals, ShownMessage
from billing.webhooks.rules import MessageStatus, Provider
from billing.webhooks.service import InboxService

_REPLAYABLE = frozenset({MessageStatus.DONE, MessageStatus.IGNORED, MessageStatus.GIVEN_UP})
_RELEASABLE = frozenset({MessageStatus.QUARANTINED})


class InboxDesk:
    """Shows notifications without what they say about people, and lets the inbox look into one again.

    Neither replay nor release books anything by itself: the payment is read back as if the notification had just come,
    and what still contradicts our record goes back into quarantine. Nobody can order that it be booked all the same.
    """

    def __init__(self, *, begin: Begin, clock: Clock, inbox: InboxService, audit: AuditTrail) -> None:
        self._begin = begin
        self._clock = clock
        self._inbox = inbox
        self._audit = audit
        self._oversight = InboxOversight()

    async def messages(
        self,
        principal: Principal,
        *,
        provider: Provider | None = None,
        status: MessageStatus | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> tuple[Message, ...]:
        """Notifications, newest first, 200 at the most; `before` is the id of the last one of the page before.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await self._oversight.messages(uow, provider=provider, status=status, before=before, limit=limit)

    async def message(self, principal: Principal, message_id: str) -> ShownMessage:
        """One notification with its redacted body.

        Raises:
            Forbidden: the caller is no operator.
            MessageNotFound: there is none of this id.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await self._oversight.message(uow, message_id)

    async def refusals(self, principal: Principal, *, days: int = 7) -> Sequence[Refusals]:
        """How many notifications were turned away today and on the days before it (UTC), `days` in all.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        since = self._clock.now().date() - timedelta(days=days - 1)
        async with self._begin() as uow:
            return await self._oversight.refusals_since(uow, since)

    async def replay(self, principal: Principal, message_id: str, *, reason: str, request_id: str) -> None:
        """Has a notification handled once more that was done, ignored or given up.

        Raises:
            Forbidden: the caller is no operator who may write.
            MessageNotFound: there is none of this id.
            MessageStatusWrong: it waits to be handled anyway, or stands in quarantine.
            InvalidInput: there is no reason.
        """
        await self._again(principal, message_id, "webhook.replayed", _REPLAYABLE, reason=reason, request_id=request_id)

    async def release(self, principal: Principal, message_id: str, *, reason: str, request_id: str) -> None:
        """Lets a notification out of quarantine, to be handled again after the cause was mended.

        Raises:
            Forbidden: the caller is no operator who may write.
            MessageNotFound: there is none of this id.
            MessageStatusWrong: it is not in quarantine.
            InvalidInput: there is no reason.
        """
        await self._again(principal, message_id, "webhook.released", _RELEASABLE, reason=reason, request_id=request_id)

    async def _again(
        self,
        principal: Principal,
        message_id: str,
        action: str,
        from_statuses: frozenset[MessageStatus],
        *,
        reason: str,
        request_id: str,
    ) -> None:
        require_operator(principal, may_write=True)
        reason = check_reason(reason)
        async with self._begin() as uow:
            before = await self._inbox.hand_over_again(uow, message_id, from_statuses=from_statuses)
            await self._audit.record(
                uow,
                principal,
                action=action,
                target=before.id,
                before={"status": before.status, "reason": before.reason, "attempts": before.attempts},
                after={"status": MessageStatus.WAITING, "reason": None, "attempts": 0},
                reason=reason,
                request_id=request_id,
            )

"""The inbox as operators see it: which notifications stand where, what one says, how many were turned away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from billing.kit.pagination import PAGE_SIZE_MAX
from billing.kit.unit_of_work import UnitOfWork
from billing.webhooks import repository
from billing.webhooks.errors import MessageNotFound
from billing.webhooks.redaction import redacted
from billing.webhooks.repository import Message, Refusals
from billing.webhooks.rules import MessageStatus, Provider

_REFUSALS_SHOWN = 200

__all__ = ["InboxOversight", "Message", "Refusals", "ShownMessage"]


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message with its body, in which whatever could be about a person is hidden."""

    message: Message
    body: object


class InboxOversight:
    """Reads the inbox; a participant in its caller's transaction."""

    async def messages(
        self,
        uow: UnitOfWork,
        *,
        provider: Provider | None = None,
        status: MessageStatus | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> tuple[Message, ...]:
        """Messages, newest first, 200 at the most; `before` is the id of the last one of the page before."""
        return await repository.newest(
            uow, provider=provider, status=status, before=before, limit=min(limit, PAGE_SIZE_MAX)
        )

    async def message(self, uow: UnitOfWork, message_id: str) -> ShownMessage:
        """One message with its redacted body.

        Raises:
            MessageNotFound: there is none of this id.
        """
        message = await repository.find(uow, message_id)
        if message is None:
            raise MessageNotFound(message_id)
        return ShownMessage(message, redacted(await repository.find_body(uow, message.id)))

    async def refusals_since(self, uow: UnitOfWork, day: date) -> Sequence[Refusals]:
        """How many notifications were turned away since this day (UTC), by day, provider and reason; newest first."""
        return await repository.refusals_since(uow, day, limit=_REFUSALS_SHOWN)

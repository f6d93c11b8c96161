"""Who reads the requests of which door."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from billing.gateway.rules.chat_request import read_chat_request
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming, PaidRequest, QuoteBounds

Reader = Callable[[Incoming, QuoteBounds], PaidRequest]

READERS: Mapping[Door, Reader] = {
    Door.CHAT: read_chat_request,
}

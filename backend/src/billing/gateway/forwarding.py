"""Carries a call to the first of its targets that answers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from billing.gateway.calls import Call
from billing.gateway.errors import UpstreamFailure
from billing.gateway.ports import ModelUpstream, UpstreamExchange
from billing.gateway.rules.paid_request import Delivery
from billing.gateway.rules.replies import ERRORS_FROM, ProviderRefusal, UpstreamReply, read_refusal
from billing.gateway.rules.routes import UpstreamTarget

_log = structlog.get_logger(__name__)

_TOO_MANY = 429
_SERVER_ERRORS_FROM = 500


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A target that has begun to answer, with a status below 400."""

    target: UpstreamTarget
    exchange: UpstreamExchange


class Forwarder:
    """Tries the targets of a route in their order; each at most once, and none after one has begun to answer."""

    def __init__(self, upstream: ModelUpstream) -> None:
        self._upstream = upstream

    async def forward(self, call: Call, connection: AsyncExitStack) -> Forwarded | ProviderRefusal:
        """The first target that begins to answer, its connection kept by `connection`; or the last refusal.

        The next target is tried where one cannot be reached, breaks off or is silent before its status, says that it
        is overloaded or fails. A refusal of the request itself is an answer: another provider would refuse it too.

        Raises:
            UpstreamFailure: no target gave an answer of any kind; the last one's failure.
        """
        last: ProviderRefusal | UpstreamFailure | None = None
        for target in call.route.targets:
            try:
                exchange = await connection.enter_async_context(
                    self._upstream.open(target, call.request.door, call.request.for_upstream(target.upstream_model))
                )
                if exchange.status < ERRORS_FROM:
                    return Forwarded(target, exchange)
                last = await self._refusal(target, exchange)
                if not _is_passing(exchange.status):
                    return last
            except UpstreamFailure as failure:
                last = failure if not isinstance(last, ProviderRefusal) else last
            await connection.aclose()
            _log.warning("upstream_failed", operation_id=call.operation_id, upstream=target.name)
        assert last is not None, "a route has at least one target"
        if isinstance(last, UpstreamFailure):
            raise last
        return last

    async def delivery_of(self, call: Call, forwarded: Forwarded) -> Delivery:
        """The whole answer as the client gets it.

        Raises:
            UpstreamFailure: the rest of it did not come, or it is none.
        """
        exchange, target = forwarded.exchange, forwarded.target
        reply = UpstreamReply(exchange.status, await exchange.read(), exchange.content_type)
        return call.request.read(reply, public_model=call.route.model, upstream_model=target.upstream_model)

    async def _refusal(self, target: UpstreamTarget, exchange: UpstreamExchange) -> ProviderRefusal:
        reply = UpstreamReply(
            exchange.status, await exchange.read(), exchange.content_type, exchange.retry_after_seconds
        )
        return read_refusal(reply, (target.api_key.get_secret_value(), target.base_url, target.upstream_model))


def _is_passing(status: int) -> bool:
    """A trouble of this provider at this moment, which another one may not have."""
    return status == _TOO_MANY or status >= _SERVER_ERRORS_FROM

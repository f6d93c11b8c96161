"""What the gateway needs from outside: somebody who carries a request to a model provider."""

from __future__ import annotations

from typing import Protocol

from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.routes import ModelRoute


class ChatUpstream(Protocol):
    """Carries chat requests to providers. Nobody but the gateway's service holds one (G12)."""

    async def complete_chat(self, route: ModelRoute, request: bytes) -> UpstreamReply:
        """Sends the request and waits for the whole answer; never inside a transaction, never a second time.

        Raises:
            UpstreamTimeout: no whole answer in time.
            UpstreamUnreachable: no connection.
            UpstreamBroken: the connection broke before the answer was whole, or it is larger than we read.
        """
        ...

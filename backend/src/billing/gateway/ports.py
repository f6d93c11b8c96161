"""What the gateway needs from outside: somebody who carries a request to a model provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Outgoing
from billing.gateway.rules.routes import UpstreamTarget


class UpstreamExchange(Protocol):
    """One request on its way, whose status has come; leaving its context closes the connection."""

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        ...

    @property
    def content_type(self) -> str:
        """What the answer says that it is; empty where it says nothing."""
        ...

    @property
    def retry_after_seconds(self) -> int | None:
        """How long the provider asks to be left alone."""
        ...

    async def read(self) -> bytes:
        """The whole answer.

        Raises:
            UpstreamTimeout: not all of it came in time.
            UpstreamBroken: the connection broke before it was whole, or it is larger than we read.
        """
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The answer as it comes, in whatever pieces.

        Raises:
            UpstreamTimeout: the provider was silent for too long.
            UpstreamBroken: the connection broke before the answer was whole.
        """
        ...


class ModelUpstream(Protocol):
    """Carries requests to providers. Nobody but the gateway's service holds one (G12)."""

    def open(
        self, target: UpstreamTarget, door: Door, outgoing: Outgoing
    ) -> AbstractAsyncContextManager[UpstreamExchange]:
        """Sends the request and waits for the status; never inside a transaction, never a second time.

        Raises:
            UpstreamTimeout: no status in time.
            UpstreamUnreachable: no connection.
            UpstreamBroken: the connection broke before the status.
        """
        ...

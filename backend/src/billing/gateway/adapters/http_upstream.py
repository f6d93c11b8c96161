"""Carries requests to OpenAI-compatible providers over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx

from billing.gateway.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Outgoing
from billing.gateway.rules.routes import UpstreamTarget
from billing.gateway.settings import GatewaySettings
from billing.kit.tls import public_authorities
from billing.kit.unit_of_work import refuse_open_transaction


class HttpExchange:
    """One answer on its way."""

    def __init__(self, response: httpx.Response, settings: GatewaySettings) -> None:
        self._response = response
        self._settings = settings

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self._response.status_code

    @property
    def content_type(self) -> str:
        """What the answer says that it is."""
        return self._response.headers.get("Content-Type", "")

    @property
    def retry_after_seconds(self) -> int | None:
        """Only the form in seconds is passed on; a date would have to be believed."""
        text = self._response.headers.get("Retry-After", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None  # noqa: PLR2004 - about a day

    async def read(self) -> bytes:
        """The whole answer.

        Raises:
            UpstreamTimeout: not all of it came in time.
            UpstreamBroken: the connection broke before it was whole, or it is larger than we read.
        """
        body = bytearray()
        with _named_failures():
            async with asyncio.timeout(self._settings.total_timeout_seconds):
                async for chunk in self._response.aiter_bytes():
                    body += chunk
                    if len(body) > self._settings.reply_bytes_max:
                        raise UpstreamBroken
        return bytes(body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The answer as it comes.

        Raises:
            UpstreamTimeout: the provider was silent for too long.
            UpstreamBroken: the connection broke before the answer was whole.
        """
        with _named_failures():
            async for chunk in self._response.aiter_bytes():
                yield chunk


class HttpUpstream:
    """One connection pool for all providers. It never repeats a request: a second try would be a second operation."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(
            verify=public_authorities(),
            timeout=httpx.Timeout(
                connect=settings.connect_timeout_seconds,
                read=settings.read_timeout_seconds,
                write=settings.read_timeout_seconds,
                pool=settings.connect_timeout_seconds,
            ),
            limits=httpx.Limits(
                max_connections=settings.connections_max, max_keepalive_connections=settings.connections_max
            ),
            follow_redirects=False,  # our key must not travel to wherever an answer points
            trust_env=False,
        )

    @asynccontextmanager
    async def open(self, target: UpstreamTarget, door: Door, outgoing: Outgoing) -> AsyncIterator[HttpExchange]:
        """Sends the request once and waits for the status.

        Raises:
            UpstreamTimeout: no status in time.
            UpstreamUnreachable: no connection.
            UpstreamBroken: the connection broke before the status.
        """
        refuse_open_transaction()
        headers = {
            "Authorization": f"Bearer {target.api_key.get_secret_value()}",
            "Content-Type": outgoing.content_type,
            "Accept": "*/*",
        }
        request = self._client.build_request(
            "POST", f"{target.base_url}/{door}", content=outgoing.content, headers=headers
        )
        with _named_failures():
            async with asyncio.timeout(self._settings.total_timeout_seconds):
                response = await self._client.send(request, stream=True)
        try:
            yield HttpExchange(response, self._settings)
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Closes every connection."""
        await self._client.aclose()


@contextmanager
def _named_failures() -> Iterator[None]:
    """Every way of failing becomes one of three refusals."""
    try:
        yield
    except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
        raise UpstreamTimeout from error
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise UpstreamUnreachable from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise UpstreamBroken from error

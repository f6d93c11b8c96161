"""Carries requests to OpenAI-compatible providers over HTTP."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp

from billing.gateway.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Outgoing
from billing.gateway.rules.routes import UpstreamTarget
from billing.gateway.settings import GatewaySettings
from billing.kit.tls import public_authorities
from billing.kit.unit_of_work import refuse_open_transaction

_FINAL_STATUS_FROM = 200
# Servers in Python hang up after five idle seconds. A request that meets a connection which is just being closed fails,
# and we do not repeat it; so we let go of idle connections first.
_IDLE_CONNECTION_SECONDS = 4.0
# What one answer may pile up unread before its provider is made to wait: it bounds the memory of a stream.
_UNREAD_BYTES = 16 * 1024
_HEADER_BYTES_MAX = 8 * 1024
_HEADERS_MAX = 64
_AT_ONCE_BYTES_MAX = 64 * 1024


class HttpExchange:
    """One answer on its way."""

    def __init__(self, response: aiohttp.ClientResponse, *, ends_at: float, reply_bytes_max: int) -> None:
        self._response = response
        self._ends_at = ends_at
        self._reply_bytes_max = reply_bytes_max

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self._response.status

    @property
    def content_type(self) -> str:
        """What the answer says that it is; empty where it says nothing."""
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
        async for chunk in self.chunks():
            body += chunk
        return bytes(body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The answer as it comes, unpacked if it came packed; no more of it than a whole answer may have.

        Raises:
            UpstreamTimeout: the provider was silent for too long, or the call took longer than a call may take.
            UpstreamBroken: the connection broke before the answer was whole, or it is larger than we read.
        """
        received = 0
        while chunk := await self._next_chunk():
            received += len(chunk)
            if received > self._reply_bytes_max:
                raise UpstreamBroken
            yield chunk

    async def _next_chunk(self) -> bytes:
        with _named_failures():
            async with asyncio.timeout_at(self._ends_at):
                return await self._response.content.readany()


class HttpUpstream:
    """One connection pool for all providers. It never repeats a request: a second try would be a second operation.

    It follows no redirect, because our key must not travel to wherever an answer points; it keeps no cookies, which
    would tie one customer's calls to another's; and it reads no proxy and no password from its environment.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        """Must be called while an event loop runs, and belongs to that loop."""
        self._settings = settings
        self._before_status_seconds = settings.connect_timeout_seconds + settings.read_timeout_seconds
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=public_authorities(),
                limit=settings.connections_max,
                keepalive_timeout=_IDLE_CONNECTION_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None,  # counted by ourselves, over the whole exchange
                connect=settings.connect_timeout_seconds,
                sock_read=settings.read_timeout_seconds,
            ),
            headers={"User-Agent": "billing-gateway", "Accept": "*/*", "Accept-Encoding": "identity"},
            read_bufsize=_UNREAD_BYTES,
            max_line_size=_HEADER_BYTES_MAX,
            max_field_size=_HEADER_BYTES_MAX,
            max_headers=_HEADERS_MAX,
            trust_env=False,
        )

    @asynccontextmanager
    async def open(self, target: UpstreamTarget, door: Door, outgoing: Outgoing) -> AsyncIterator[HttpExchange]:
        """Sends the request once and waits for the status.

        Raises:
            UpstreamTimeout: no status in time.
            UpstreamUnreachable: no connection, or none that proves to be the provider's.
            UpstreamBroken: the connection broke before the status.
        """
        refuse_open_transaction()
        began_at = asyncio.get_running_loop().time()
        ends_at = began_at + self._settings.total_timeout_seconds
        with _named_failures():
            async with asyncio.timeout_at(min(ends_at, began_at + self._before_status_seconds)):
                response = await self._client.post(
                    f"{target.base_url}/{door}",
                    data=_payload(outgoing.content),
                    headers={
                        "Authorization": f"Bearer {target.api_key.get_secret_value()}",
                        "Content-Type": outgoing.content_type,
                    },
                    allow_redirects=False,
                )
        try:
            if response.status < _FINAL_STATUS_FROM:
                raise UpstreamBroken
            yield HttpExchange(response, ends_at=ends_at, reply_bytes_max=self._settings.reply_bytes_max)
        finally:
            # A connection whose answer was read to its end has gone back to the pool by now.
            response.close()

    async def close(self) -> None:
        """Closes every connection."""
        await self._client.close()


def _payload(content: bytes) -> bytes | io.BytesIO:
    """Small requests go out together with their head; large ones in pieces, between which others get their turn."""
    return content if len(content) <= _AT_ONCE_BYTES_MAX else io.BytesIO(content)


@contextmanager
def _named_failures() -> Iterator[None]:
    """Every way of failing becomes one of three refusals."""
    try:
        yield
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
        raise UpstreamUnreachable from error
    except TimeoutError as error:
        raise UpstreamTimeout from error
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamBroken from error

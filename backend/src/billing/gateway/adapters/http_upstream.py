"""Carries requests to OpenAI-compatible providers over HTTP."""

from __future__ import annotations

import asyncio

import httpx

from billing.gateway.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.routes import ModelRoute
from billing.gateway.settings import GatewaySettings
from billing.kit.tls import public_authorities
from billing.kit.unit_of_work import refuse_open_transaction


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

    async def complete_chat(self, route: ModelRoute, request: bytes) -> UpstreamReply:
        """Sends the request once and reads the whole answer.

        Raises:
            UpstreamTimeout: no whole answer in time.
            UpstreamUnreachable: no connection.
            UpstreamBroken: the connection broke before the answer was whole, or it is larger than we read.
        """
        refuse_open_transaction()
        try:
            async with asyncio.timeout(self._settings.total_timeout_seconds):
                return await self._exchange(route, request)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise UpstreamTimeout from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise UpstreamUnreachable from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise UpstreamBroken from error

    async def close(self) -> None:
        """Closes every connection."""
        await self._client.aclose()

    async def _exchange(self, route: ModelRoute, request: bytes) -> UpstreamReply:
        headers = {
            "Authorization": f"Bearer {route.api_key.get_secret_value()}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        address = f"{route.base_url}/chat/completions"
        async with self._client.stream("POST", address, content=request, headers=headers) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._settings.reply_bytes_max:
                    raise UpstreamBroken
            return UpstreamReply(response.status_code, bytes(body), _retry_after_seconds(response))


def _retry_after_seconds(response: httpx.Response) -> int | None:
    """Only the form in seconds is passed on; a date would have to be believed."""
    text = response.headers.get("Retry-After", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None  # noqa: PLR2004 - about a day

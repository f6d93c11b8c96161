"""How the official Stripe SDK reaches the network: through our own connections, which say whether a request was sent.

The SDK's own clients follow whatever proxy the environment names, read answers of any size, and turn every network
failure into one and the same exception.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx
import stripe

from billing.kit.tls import public_authorities
from billing.payments.adapters.calls import Budget, no_answer
from billing.payments.errors import ProviderMalformed, ProviderUnavailable

_ANSWER_BYTES_MAX = 1024 * 1024
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_UNREADABLE = b"{}"


class StripeConnections(stripe.HTTPClient):
    """The SDK's asynchronous transport; its failures are ours, because only here is known how far a request came.

    It repeats nothing, and hands on only JSON objects: the SDK stumbles over anything else.
    """

    name = "httpx"

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._client = httpx.AsyncClient(
            verify=public_authorities(),
            timeout=httpx.Timeout(budget.total_seconds, connect=budget.connect_seconds),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10),
            follow_redirects=False,
            trust_env=False,  # credentials go to the configured address, not to a proxy that the machine names
        )

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Carries one request.

        Raises:
            ProviderUnavailable: it was not sent, or it was a question and no answer came.
            ProviderAmbiguous: it was a change, and no answer came.
            ProviderMalformed: the answer is too large, or is none.
        """
        try:
            return await self._exchange(self._client.build_request(method, url, headers=headers, content=post_data))
        except _NOT_SENT as error:
            raise ProviderUnavailable("The payment provider could not be reached.") from error
        except httpx.HTTPError as error:
            raise no_answer(is_change=method != "get") from error

    async def close_async(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _exchange(self, request: httpx.Request) -> tuple[bytes, int, Mapping[str, str]]:
        response = await self._client.send(request, stream=True)
        try:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > _ANSWER_BYTES_MAX:
                    raise ProviderMalformed("The payment provider's answer is larger than any it should give.")
            return _readable(bytes(content), response.status_code), response.status_code, response.headers
        finally:
            await response.aclose()


def _readable(content: bytes, status: int) -> bytes:
    """The answer as the SDK can take it; of an error that is not in the provider's shape only the status counts."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if status < HTTPStatus.BAD_REQUEST:
        if not isinstance(body, dict):
            raise ProviderMalformed("The payment provider's answer cannot be read.")
        return content
    has_shape = isinstance(body, dict) and isinstance(body.get("error"), dict)
    return content if has_shape else _UNREADABLE

"""Carries messages to customers' addresses over HTTP, to the very address that was checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

from billing.kit.tls import public_authorities
from billing.kit.unit_of_work import refuse_open_transaction
from billing.webhooks.outbound.addresses import Address, AddressPolicy, Target
from billing.webhooks.outbound.errors import WebhookUrlRefused
from billing.webhooks.outbound.rules import Answer, Outcome

_HEADER_BYTES_MAX = 8 * 1024
_HEADERS_MAX = 64
_ADDRESSES_MAX = 4

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one attempt may take: looking the name up and connecting, and all of it."""

    connect_seconds: float = 3.0
    total_seconds: float = 15.0


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the machine's resolver says, in the order in which to try them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


class HttpCarrier:
    """Posts each message over a connection of its own; close it when done.

    It follows no redirect, keeps no cookies, believes no proxy of its environment, and reads nothing of an answer but
    its status: so an answer can be as large or as slow as it likes.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        patience: Patience | None = None,
        resolver: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Must be called while an event loop runs, and belongs to that loop."""
        self._policy = policy
        self._patience = patience or Patience()
        self._resolve = resolver
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls or public_authorities(), force_close=True, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # counted by ourselves, from before the name is looked up
            headers={"User-Agent": "billing-webhooks", "Accept-Encoding": "identity"},
            max_line_size=_HEADER_BYTES_MAX,
            max_field_size=_HEADER_BYTES_MAX,
            max_headers=_HEADERS_MAX,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._client.close()

    async def carry(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """Posts the body once; what the settings allow is asked again at every attempt."""
        refuse_open_transaction()
        try:
            target = self._policy.parse(url)
            async with asyncio.timeout(self._patience.total_seconds):
                return await self._post(target, headers, body)
        except WebhookUrlRefused:
            return Answer(Outcome.ADDRESS_REFUSED)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, socket.gaierror, UnicodeError):
            return Answer(Outcome.UNREACHABLE)
        except TimeoutError:
            return Answer(Outcome.TIMED_OUT)
        except (aiohttp.ClientError, ValueError, OSError):
            return Answer(Outcome.BROKEN)

    async def _post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        connect_by = asyncio.get_running_loop().time() + self._patience.connect_seconds
        addresses = await self._open_addresses(target, connect_by)
        failure: aiohttp.ClientConnectorError | None = None
        for address in addresses[:_ADDRESSES_MAX]:
            try:
                return await self._post_to(address, target, headers, body, connect_by)
            except aiohttp.ClientConnectorError as error:
                failure = error  # nothing was sent: the name's next address may be there
        assert failure is not None, "there is at least one address"
        raise failure

    async def _open_addresses(self, target: Target, connect_by: float) -> tuple[Address, ...]:
        try:
            async with asyncio.timeout_at(connect_by):
                found = await self._resolve(target.host, target.port)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        addresses = self._policy.all_open(found)
        if not addresses:
            raise WebhookUrlRefused("The address must be a public one.")
        return addresses

    async def _post_to(
        self, address: Address, target: Target, headers: Mapping[str, str], body: bytes, connect_by: float
    ) -> Answer:
        left_seconds = max(0.001, connect_by - asyncio.get_running_loop().time())
        host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - the protocol's number
        response = await self._client.post(
            URL(f"{target.scheme}://{host}:{target.port}{target.path}", encoded=True),
            data=body,
            headers={**headers, "Host": target.authority, "Content-Type": "application/json"},
            # The certificate must be that of the name, although the connection goes to a number.
            server_hostname=target.host if target.scheme == "https" else None,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=left_seconds),
            allow_redirects=False,
        )
        response.close()
        is_accepted = 200 <= response.status < 300  # noqa: PLR2004 - HTTP's own numbers
        return Answer(Outcome.ACCEPTED if is_accepted else Outcome.REFUSED, response.status)

"""A server on loopback that says exactly these bytes, at exactly these moments, and closes as it is told."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from testkit.loopback import LOOPBACK, listening

_CONTENT_LENGTH = re.compile(rb"^content-length: (\d+)", re.IGNORECASE | re.MULTILINE)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Visit:
    """One request as it came, and the connection to answer on."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes
    body: bytes

    async def say(self, content: bytes) -> None:
        """Sends these bytes now."""
        self.writer.write(content)
        await self.writer.drain()

    def reset(self) -> None:
        """Ends the connection as a crash does: not with an end, but with an error."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.writer.transport.abort()

    async def until_they_hang_up(self) -> None:
        """Waits for the end of the connection on the other side."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


@dataclass(slots=True)
class RawServer:
    """Where it is, and what reached it: connections, and the head of each request."""

    url: str
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def raw_server(
    answer: Callable[[Visit], Awaitable[None]], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Serves on a free port; each whole request is answered by `answer`, one after the other on its connection."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        this = asyncio.current_task()
        assert this is not None, "each connection is met in a task of its own"
        meetings.append(this)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    head = await reader.readuntil(b"\r\n\r\n")
                    seen.heads.append(head)
                    length = _CONTENT_LENGTH.search(head)
                    body = await reader.readexactly(int(length[1]) if length else 0)
                    await answer(Visit(reader, writer, head, body))
        finally:
            writer.close()

    meetings: list[asyncio.Task[None]] = []
    listener = listening()
    scheme = "http" if tls is None else "https"
    seen = RawServer(f"{scheme}://{LOOPBACK}:{listener.getsockname()[1]}")
    server = await asyncio.start_server(meet, sock=listener, ssl=tls)
    try:
        yield seen
    finally:
        server.close()
        for meeting in meetings:
            meeting.cancel()
        await asyncio.gather(*meetings, return_exceptions=True)

"""The bytes of one stream on their way to its client: a bounded buffer between two speeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable


class Outbox:
    """Lets the writer wait while a slow client has `bytes_max` before it; drops everything once the client is gone.

    A client that takes nothing for `patience_seconds` counts as gone. One task writes, one reads.
    """

    def __init__(self, *, bytes_max: int, patience_seconds: float, on_leave: Callable[[], None]) -> None:
        self._bytes_max = bytes_max
        self._patience_seconds = patience_seconds
        self._on_leave = on_leave
        self._waiting = bytearray()
        self._has_room = asyncio.Event()
        self._has_news = asyncio.Event()
        self._has_room.set()
        self._is_closed = False
        self.is_left = False

    async def put(self, content: bytes) -> None:
        """Adds bytes behind the others, once there is room."""
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._has_room.wait()
        except TimeoutError:
            self.leave()
        if self.is_left or not content:
            return
        self._waiting += content
        self._has_news.set()
        if len(self._waiting) >= self._bytes_max:
            self._has_room.clear()

    def close(self, last: bytes = b"") -> None:
        """Adds the last bytes, however full it is."""
        if not self.is_left:
            self._waiting += last
        self._is_closed = True
        self._has_news.set()

    def leave(self) -> None:
        """The client is gone. Once everything has been written, leaving is nothing but going home."""
        if self.is_left:
            return
        self.is_left = True
        self._waiting.clear()
        self._has_room.set()
        self._has_news.set()
        if not self._is_closed:
            self._on_leave()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What there is, as often as there is something, until it is closed or the client is gone."""
        while not self.is_left:
            await self._has_news.wait()
            content = bytes(self._waiting)
            self._waiting.clear()
            self._has_room.set()
            if self._is_closed:
                if content:
                    yield content
                return
            self._has_news.clear()
            if content:
                yield content

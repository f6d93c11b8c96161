"""An application behind a real HTTP server on loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from testkit.loopback import LOOPBACK, listening

_START_SECONDS_MAX = 10.0
_STOP_SECONDS_MAX = 5
_TURNS_TO_CLOSE_MAX = 20  # of the event loop; a closed connection needs two or three


class _Server(uvicorn.Server):
    """Says when it serves, stops at once when it is told, and leaves the test run's signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_serving = asyncio.Event()
        self.is_told_to_stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_serving.set()

    async def main_loop(self) -> None:
        """Waits without uvicorn's tick of a tenth of a second, of which every test would lose half at its end."""
        await self.on_tick(0)
        await self.is_told_to_stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends without uvicorn's pause of a tenth of a second where no call is on its way."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(_TURNS_TO_CLOSE_MAX):
            if not self.server_state.connections and not self.server_state.tasks:
                await self.lifespan.shutdown()
                return
            await asyncio.sleep(0)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: Any, *, listener: socket.socket | None = None) -> AsyncIterator[str]:
    """Serves the ASGI application on a free port, or on this socket; gives its base URL, and stops it when left.

    The client's address is that of the connection: no forwarding header is believed. An error while the application
    starts comes out here.
    """
    config = uvicorn.Config(
        app,
        lifespan="on" if hasattr(app, "router") else "off",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_STOP_SECONDS_MAX,
    )
    with listener or listening() as listening_socket:
        server = _Server(config)
        running = asyncio.create_task(server.serve([listening_socket]))
        serving_now = asyncio.create_task(server.is_serving.wait())
        await asyncio.wait({running, serving_now}, timeout=_START_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
        try:
            assert server.is_serving.is_set(), "the application did not start"
            yield f"http://{LOOPBACK}:{listening_socket.getsockname()[1]}"
        finally:
            serving_now.cancel()
            server.is_told_to_stop.set()
            await running

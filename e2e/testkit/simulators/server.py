"""Runs a simulator on loopback: in a thread of a test, or as a process of its own that says when it is ready."""

import asyncio
import contextlib
import json
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from testkit.loopback import LOOPBACK, listening

CUT_EXTENSION = "testkit.cut"
"""The scope extension through which an application can cut the client's connection."""

_START_SECONDS_MAX = 20
_STOP_SECONDS_MAX = 10
_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A simulator that accepts connections."""

    url: str
    """Scheme, host and port, without a slash at the end."""


@contextlib.contextmanager
def running(app: ASGIApp, *, port: int = 0) -> Generator[RunningServer]:
    """Serves `app` from a thread of its own until the block is left; port 0 takes a free one.

    Raises:
        RuntimeError: The application did not start.
    """
    ready = threading.Event()
    listener = listening(port)
    server = _Server(_config(app), on_ready=ready.set)
    thread = threading.Thread(target=_serve_unmeasured, args=(server, listener), name="simulator", daemon=True)
    with contextlib.closing(listener):
        thread.start()
        if not ready.wait(_START_SECONDS_MAX):
            message = f"the simulator did not start within {_START_SECONDS_MAX} s"
            raise RuntimeError(message)
        try:
            yield RunningServer(_url(listener))
        finally:
            server.should_exit = True
            thread.join(_STOP_SECONDS_MAX)


def _serve_unmeasured(server: "_Server", listener: socket.socket) -> None:
    """Serves without coverage's tracer in this thread: no line of the product runs here, and it costs half the time."""
    sys.settrace(None)
    server.run(sockets=[listener])


def serve(app: ASGIApp, *, port: int, say: Callable[[str], None]) -> None:
    """Serves `app` until SIGTERM or SIGINT, then returns.

    Says one line of JSON, `{"ready": true, "url": "http://127.0.0.1:PORT"}`, as soon as connections are accepted.
    """
    with contextlib.closing(listening(port)) as listener:
        url = _url(listener)
        server = _Server(_config(app), on_ready=lambda: say(json.dumps({"ready": True, "url": url})))
        asyncio.run(_serve_until_signal(server, listener))


async def _serve_until_signal(server: "_Server", listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, server.stop)
    await server.serve(sockets=[listener])


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_CuttableProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="critical",
        # A caller's address is the one at the other end, whatever its headers say.
        proxy_headers=False,
        # A hanging call must not keep the simulator from stopping.
        timeout_graceful_shutdown=1,
    )


def _url(listener: socket.socket) -> str:
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"


class _Server(uvicorn.Server):
    """Tells when it accepts connections, and leaves the signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config, *, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    def stop(self) -> None:
        self.should_exit = True

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield


class _CuttableProtocol(H11Protocol):
    """HTTP/1.1 whose applications may cut the connection: `scope["extensions"]["testkit.cut"](reset=...)`."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows the parameter the same way
        super().connection_made(transport)
        application = self.app

        def cut(*, reset: bool) -> None:
            if reset:
                # Closing a socket that must not linger sends RST instead of FIN.
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
            transport.abort()

        async def with_cut(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), CUT_EXTENSION: cut}
            await application(scope, receive, send)

        self.app = with_cut

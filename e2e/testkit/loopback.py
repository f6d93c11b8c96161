"""What servers and clients on loopback do without: TLS, each other's receipts, and connections that are kept."""

from __future__ import annotations

import socket
import ssl

import httpx

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain HTTP, where reading the machine's certificates takes as long as many tests.

It trusts nobody: an https address would fail with it, which none of ours is.
"""

NO_REUSE = httpx.Limits(max_keepalive_connections=0)
"""For clients that pause for seconds, after which the server has closed a kept connection while they use it again."""

LOOPBACK = "127.0.0.1"


def listening(port: int = 0, *, backlog: int = 128) -> socket.socket:
    """A listening socket whose connections send small packets at once; port 0 takes a free one.

    asyncio does that by itself only for sockets that name their protocol, which those of `create_server` do not; an
    answer in two packets then waits 40 ms for the receipt of the first.

    Raises:
        OSError: The port is taken.
    """
    listener = socket.create_server((LOOPBACK, port), backlog=backlog)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener

"""What goes over the wire for one cell of the matrix: bytes on a socket that is bound to the address it comes from."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from time import time

from backend.tests.trust.cells import Cell, How, Part, Provider, Time, Topology

TOKEN = "sesame-0123456789"
SECRET = "whsec_0123456789abcdef"

SOURCE = "127.0.0.2"
"""The provider's address: the one that is configured beside the published ones."""
PROXY = "127.0.0.3"
INNER_PROXIES = "10.0.0.0/8"
STRANGER = "127.0.0.9"
FOREIGN = "203.0.113.9"

_OTHER_TIME_SECONDS = 400
_SIGNATURE_HEADERS = {Provider.YOOKASSA: b"X-Webhook-Signature", Provider.STRIPE: b"Stripe-Signature"}
_NON_ASCII = "\u0441\u0435\u0437\u0430\u043c".encode()

# For each topology: the address that the connection comes from, and the header X-Forwarded-For, None for none.
ROUTES: dict[Topology, dict[How, tuple[str, bytes | None]]] = {
    Topology.DIRECT: {How.VALID: (SOURCE, None), How.WRONG: (STRANGER, None)},
    Topology.MAPPED: {How.VALID: (SOURCE, None), How.WRONG: (STRANGER, None)},
    Topology.ONE_PROXY: {
        How.VALID: (PROXY, SOURCE.encode()),
        How.WRONG: (PROXY, FOREIGN.encode()),
        How.MISSING: (PROXY, None),
        How.EMPTY: (PROXY, b""),
        How.NON_ASCII: (PROXY, _NON_ASCII),
    },
    Topology.TWO_PROXIES: {
        How.VALID: (PROXY, b"%b, 10.0.0.1" % SOURCE.encode()),
        How.WRONG: (PROXY, b"%b, 10.0.0.1" % FOREIGN.encode()),
        How.MISSING: (PROXY, None),
        How.EMPTY: (PROXY, b", 10.0.0.1"),
        How.NON_ASCII: (PROXY, b"%b, 10.0.0.1" % _NON_ASCII),
    },
    Topology.SPOOFED: {
        How.VALID: (PROXY, b"198.51.100.7, %b" % SOURCE.encode()),
        How.WRONG: (PROXY, b"%b, %b" % (SOURCE.encode(), FOREIGN.encode())),
        How.MISSING: (STRANGER, SOURCE.encode()),  # past the proxy, whose own hop is missing
        How.EMPTY: (PROXY, b"%b, " % SOURCE.encode()),
        How.NON_ASCII: (PROXY, b"%b, %b" % (SOURCE.encode(), _NON_ASCII)),
    },
}


@dataclass(frozen=True, slots=True)
class Knock:
    """One request, ready to be sent any number of times; `event` is unlike any other's."""

    event: str
    peer: str
    content: bytes


def knock_for(cell: Cell) -> Knock:
    """The request of this cell."""
    event = f"evt_{secrets.token_hex(12)}"
    body = json.dumps({"id": event, "type": "notification", "event": "x", "object": {"id": event}}).encode()
    peer, forwarded_for = ROUTES[cell.topology][cell.how if cell.part is Part.SOURCE else How.VALID]
    headers = {
        b"X-Webhook-Token": _token(cell.how if cell.part is Part.TOKEN else How.VALID),
        _SIGNATURE_HEADERS[cell.provider]: _signature(cell, body),
        b"X-Forwarded-For": forwarded_for,
    }
    lines = [
        b"POST /webhooks/%b HTTP/1.1" % cell.provider.encode(),
        b"Host: internal",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        *(b"%b: %b" % (name, value) for name, value in headers.items() if value is not None),
    ]
    return Knock(event, peer, b"\r\n".join(lines) + b"\r\n\r\n" + body)


async def send(knock: Knock, port: int) -> tuple[int, str]:
    """The status, and the code of the refusal or the word of acceptance."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(knock.peer, 0))
    try:
        writer.write(knock.content)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    answer = json.loads(body)
    return int(head.split(b" ", 2)[1]), answer["status"] if "status" in answer else answer["error"]["code"]


def _token(how: How) -> bytes | None:
    match how:
        case How.VALID:
            return TOKEN.encode()
        case How.MISSING:
            return None
        case How.WRONG:
            return TOKEN.encode()[:-1] + b"x"
        case How.EMPTY:
            return b""
        case How.NON_ASCII:
            return _NON_ASCII


def _signature(cell: Cell, body: bytes) -> bytes | None:
    """In Stripe's published scheme, made here by hand."""
    moved = {Time.OLD: -_OTHER_TIME_SECONDS, Time.FUTURE: _OTHER_TIME_SECONDS}.get(cell.time, 0)
    timestamp = str(int(time()) + moved).encode()
    right = hmac.new(SECRET.encode(), timestamp + b"." + body, hashlib.sha256).hexdigest().encode()
    match cell.how if cell.part is Part.SIGNATURE else How.VALID:
        case How.VALID:
            return b"t=%b,v1=%b" % (timestamp, right)
        case How.MISSING:
            return None
        case How.WRONG:
            return b"t=%b,v1=%b" % (timestamp, right[::-1])
        case How.EMPTY:
            return b""
        case How.NON_ASCII:
            return b"t=%b,v1=%b" % (timestamp, _NON_ASCII)

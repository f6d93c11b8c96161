"""A model provider that costs almost nothing to ask: the same answer to every chat request, whole or as a stream.

Run as a program it listens on loopback, says its port in one line and serves until its standard input ends, so that it
cannot outlive whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import sys
from dataclasses import dataclass
from typing import cast

import uvloop

_IS_STREAM = re.compile(rb'"stream"\s*:\s*true')
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_END_OF_CHUNKS = b"0\r\n\r\n"
_USAGE = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}
_COMMON = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "fake-model"}
_ANSWER = "An answer that is neither short nor long, as models give them to simple questions. " * 2


@dataclass(frozen=True, slots=True)
class Pace:
    """How a stream comes: so many events, so many seconds apart; the first one at once."""

    events: int
    interval_seconds: float


def whole_answer() -> bytes:
    """The answer to a request that asks for no stream, with its head."""
    message = {"role": "assistant", "content": _ANSWER}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = json.dumps({**_COMMON, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def stream_events(pace: Pace) -> tuple[bytes, ...]:
    """The pieces of a stream, each as a chunk of HTTP; the last one closes it with usage and end marker."""
    deltas = [{"content": f"word{place} "} for place in range(pace.events)]
    pieces = [_event(choices=[{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    pieces.append(
        _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        + _event(choices=[], usage=_USAGE)
        + _chunk(b"data: [DONE]\n\n")
        + _END_OF_CHUNKS
    )
    return tuple(pieces)


_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class FakeUpstream(asyncio.Protocol):
    """One connection, one request after the other."""

    def __init__(self, pace: Pace) -> None:
        self._interval_seconds = pace.interval_seconds
        self._whole = whole_answer()
        self._pieces = stream_events(pace)
        self._unread = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own kind, which has no such base

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has gone; a stream that is under way ends with its next piece."""
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answers each request as soon as it is whole."""
        self._unread += data
        while (request := self._whole_request()) is not None:
            if self._transport is None:
                return
            if _IS_STREAM.search(request):
                self._transport.write(_STREAM_HEAD + self._pieces[0])
                asyncio.get_running_loop().call_later(self._interval_seconds, self._send_piece, 1)
            else:
                self._transport.write(self._whole)

    def _whole_request(self) -> bytes | None:
        head, mark, rest = self._unread.partition(_HEAD_END)
        if not mark:
            return None
        found = _CONTENT_LENGTH.search(head)
        length = int(found[1]) if found else 0
        if len(rest) < length:
            return None
        self._unread = rest[length:]
        return rest[:length]

    def _send_piece(self, place: int) -> None:
        if self._transport is None or place == len(self._pieces):
            return
        self._transport.write(self._pieces[place])
        asyncio.get_running_loop().call_later(self._interval_seconds, self._send_piece, place + 1)


def _event(**fields: object) -> bytes:
    said = {**_COMMON, "object": "chat.completion.chunk", **fields}
    return _chunk(b"data: " + json.dumps(said).encode() + b"\n\n")


def _chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


async def _serve(pace: Pace) -> None:
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    async with await loop.create_server(lambda: FakeUpstream(pace), sock=listener):
        print(listener.getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--interval-ms", type=float, default=50)
    given = parser.parse_args()
    uvloop.run(_serve(Pace(given.events, given.interval_ms / 1000)))


if __name__ == "__main__":
    main()

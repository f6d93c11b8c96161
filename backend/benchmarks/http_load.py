"""Asks an HTTP server questions as fast as it answers, and costs so little that it is never what is measured."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast
from urllib.parse import urlsplit

import uvloop

T = TypeVar("T")

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_EVENT = b"data:"
_ANSWER_SECONDS_MAX = 60.0


class BrokenAnswerError(Exception):
    """The connection ended before the answer did, or the answer is not one that we read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and when: `first_seconds` is the first byte of a body, or of the first event of a stream."""

    status: int
    body: bytes
    first_seconds: float
    whole_seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did under load: answers per second, and how long each of them took, sorted."""

    rate: float
    seconds: tuple[float, ...]

    def percentile(self, percent: float) -> float:
        """So many seconds or fewer took this share of the answers."""
        return percentile(self.seconds, percent)


def percentile(sorted_seconds: Sequence[float], percent: float) -> float:
    """The value that this share of sorted values does not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not sorted_seconds:
        raise ValueError("there is no percentile of nothing")
    rank = max(1, -(-len(sorted_seconds) * percent // 100))
    return sorted_seconds[int(rank) - 1]


class Connection(asyncio.Protocol):
    """One connection, kept open: one question after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._received = bytearray()
        self._asked_at = 0.0
        self._first_at = 0.0
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def to(cls, url: str) -> Connection:
        """A connection to the server at this address."""
        place = urlsplit(url)
        assert place.hostname is not None, f"an address: {url}"
        assert place.port is not None, f"an address with a port: {url}"
        _, connection = await asyncio.get_running_loop().create_connection(cls, place.hostname, place.port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own kind, which has no such base

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed; a question that waits is answered by an error."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BrokenAnswerError(str(exc or "closed")))

    async def ask(self, request: bytes) -> Answer:
        """Sends one request and waits for its answer.

        Raises:
            BrokenAnswerError: the connection ended first.
            TimeoutError: it takes longer than a minute.
        """
        if self._transport is None:
            raise BrokenAnswerError("closed")
        self._received.clear()
        self._first_at = 0.0
        self._answer = asyncio.get_running_loop().create_future()
        self._asked_at = time.perf_counter()
        self._transport.write(request)
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            return await self._answer

    def data_received(self, data: bytes) -> None:
        """Notes the first byte that counts, and hands out what is whole."""
        self._received += data
        if self._answer is None or self._answer.done():
            return
        head_length = self._received.find(_HEAD_END)
        if head_length < 0:
            return
        head = bytes(self._received[: head_length + 2])
        body_from = head_length + len(_HEAD_END)
        is_chunked = _CHUNKED.search(head) is not None
        if not self._first_at and self._received.find(_EVENT if is_chunked else b"", body_from) >= 0:
            self._first_at = time.perf_counter()
        if _is_whole(self._received, head, body_from, is_chunked=is_chunked):
            self._hand_out(int(head[9:12]), bytes(self._received[body_from:]))

    def close(self) -> None:
        """Hangs up."""
        if self._transport is not None:
            self._transport.close()

    def _hand_out(self, status: int, body: bytes) -> None:
        assert self._answer is not None, "somebody waits for it"
        now = time.perf_counter()
        first_at = self._first_at or now
        self._answer.set_result(Answer(status, body, first_at - self._asked_at, now - self._asked_at))


def _is_whole(received: bytearray, head: bytes, body_from: int, *, is_chunked: bool) -> bool:
    if is_chunked:
        return received.endswith(_LAST_CHUNK)
    found = _CONTENT_LENGTH.search(head)
    return len(received) - body_from >= (int(found[1]) if found else 0)


def post(url: str, body: bytes, *, key: str) -> bytes:
    """A request as it goes over the wire."""
    place = urlsplit(url)
    head = (
        f"POST {place.path} HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """Runs it in a fast loop of its own."""
    return uvloop.run(work())


async def load(url: str, requests: Sequence[bytes], *, clients: int, seconds: float) -> Load:
    """So many clients, each with a connection of its own, ask again as soon as they are answered.

    Raises:
        BrokenAnswerError: an answer broke off, or is not a success: then there is nothing to measure.
    """
    ends_at = time.perf_counter() + seconds
    taken: list[float] = []
    in_turn = itertools.cycle(requests)

    async def client() -> None:
        connection = await Connection.to(url)
        while time.perf_counter() < ends_at:
            answer = await connection.ask(next(in_turn))
            require_success(answer)
            taken.append(answer.whole_seconds)
        connection.close()

    began_at = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(len(taken) / (time.perf_counter() - began_at), tuple(sorted(taken)))


async def one_by_one(url: str, requests: Sequence[bytes]) -> tuple[Answer, ...]:
    """The answers to these requests, asked one after the other on one connection.

    Raises:
        BrokenAnswerError: an answer broke off, or is not a success.
    """
    connection = await Connection.to(url)
    answers = []
    for request in requests:
        answer = await connection.ask(request)
        require_success(answer)
        answers.append(answer)
    connection.close()
    return tuple(answers)


async def all_at_once(url: str, requests: Sequence[bytes]) -> tuple[Answer, ...]:
    """The answers to these requests, each on a connection of its own, asked at the same time.

    Raises:
        BrokenAnswerError: an answer broke off, or is not a success.
    """
    connections = [await Connection.to(url) for _ in requests]
    answers = await asyncio.gather(
        *(connection.ask(request) for connection, request in zip(connections, requests, strict=True))
    )
    for connection, answer in zip(connections, answers, strict=True):
        connection.close()
        require_success(answer)
    return tuple(answers)


def require_success(answer: Answer) -> None:
    """Nothing is measured with refusals.

    Raises:
        BrokenAnswerError: the answer is a refusal.
    """
    if answer.status != 200:  # noqa: PLR2004 - OK
        raise BrokenAnswerError(f"{answer.status}: {answer.body[:300].decode(errors='replace')}")

"""One call of a simulator with its body already read, and the ways to answer it."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from testkit.simulators.deliveries import Piece, Stop
from testkit.simulators.server import CUT_EXTENSION

_BODY_BYTES_MAX = 32 * 1024 * 1024
_EVENT_STREAM = "text/event-stream"


@dataclass(slots=True)
class Answer:
    """A whole answer that the client does not have yet."""

    status: int
    body: bytes
    content_type: str = "application/json"
    more_headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def is_stream(self) -> bool:
        """Whether it consists of server-sent events."""
        return self.content_type.startswith(_EVENT_STREAM)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """A stream does not announce its length."""
        length = [] if self.is_stream else [(b"content-length", str(len(self.body)).encode())]
        return [(b"content-type", self.content_type.encode()), *length, *self.more_headers]


@dataclass(frozen=True, slots=True)
class Visit:
    """One call, and the connection on which it waits for its answer."""

    scope: Scope
    body: bytes
    receive: Receive
    send: Send

    async def answer_rightly(self, app: ASGIApp) -> None:
        """Lets the application answer."""
        await app(self.scope, self._body_again(), self.send)

    async def carry_out(self, app: ASGIApp) -> Answer:
        """Lets the application answer, and keeps the answer from the client."""
        answer = Answer(500, b"")

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.content_type = dict(message["headers"]).get(b"content-type", b"").decode()
            else:
                answer.body += message.get("body", b"")

        await app(self.scope, self._body_again(), keep)
        return answer

    async def send_answer(self, answer: Answer, *, cut_at: int | None = None) -> None:
        """Sends an answer; with `cut_at`, only that many bytes of the body it announces."""
        await self.send({"type": "http.response.start", "status": answer.status, "headers": answer.headers()})
        body = answer.body[:cut_at]
        await self.send({"type": "http.response.body", "body": body, "more_body": cut_at is not None})

    async def drip(self, answer: Answer, *, seconds: float) -> None:
        """Sends an answer byte by byte, so that its body takes so long; ends earlier when the client goes away."""
        await self.send({"type": "http.response.start", "status": answer.status, "headers": answer.headers()})
        left = asyncio.ensure_future(self.client_has_left())
        try:
            for index in range(len(answer.body)):
                piece = answer.body[index : index + 1]
                await self.send({"type": "http.response.body", "body": piece, "more_body": True})
                if (await asyncio.wait({left}, timeout=seconds / len(answer.body)))[0]:
                    return
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            left.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await left

    async def send_pieces(
        self, answer: Answer, pieces: Iterable[Piece], pause: Callable[[int], Awaitable[bool]]
    ) -> None:
        """Sends an answer piece by piece, as far as it shall come; `pause` says whether the client is still there."""
        await self.send({"type": "http.response.start", "status": answer.status, "headers": answer.headers()})
        for piece in pieces:
            if piece.pause_after is not None and not await pause(piece.pause_after):
                return
            if piece.stop is Stop.END:
                break
            if piece.stop is not None:
                await self._stop(piece.stop)
                return
            await self.send({"type": "http.response.body", "body": piece.content, "more_body": True})
            await asyncio.sleep(0)  # the other calls of this simulator have their turn between two pieces
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _stop(self, stop: Stop) -> None:
        if stop is Stop.SILENCE:
            await self.client_has_left()
        else:
            await self.cut(reset=stop is Stop.RESET)

    async def wait_for_the_client_to_leave(self, seconds_max: float) -> None:
        """Returns when the client goes away, or when the time is up."""
        try:
            await asyncio.wait_for(self.client_has_left(), seconds_max)
        except TimeoutError:
            return

    async def cut(self, *, reset: bool) -> None:
        """Ends the connection: in an orderly way, or torn down."""
        self.scope["extensions"][CUT_EXTENSION](reset=reset)
        # The server learns in its own time that the connection is gone; returning earlier would make it answer 500.
        await self.client_has_left()

    async def client_has_left(self) -> None:
        """Returns when the client goes away."""
        while (await self.receive())["type"] != "http.disconnect":
            continue

    def _body_again(self) -> Receive:
        unread = [self.body]

        async def receive() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            return await self.receive()

        return receive

    async def readable_body(self) -> Any:
        """The body for people: JSON, the members of a multipart form, or text."""
        if not self.body:
            return None
        if dict(self.scope["headers"]).get(b"content-type", b"").startswith(b"multipart/form-data"):
            return await self._readable_form()
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace")

    async def _readable_form(self) -> dict[str, Any]:
        async with Request(self.scope, self._body_again()).form() as form:
            fields: dict[str, Any] = {}
            files: list[dict[str, Any]] = []
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    about = {"filename": value.filename, "content_type": value.content_type, "bytes": value.size}
                    files.append({"name": name, **about})
                else:
                    fields[name] = value
        return {"fields": fields, "files": files}


async def read_body(receive: Receive) -> bytes:
    """The body of a call, as far as a simulator takes it."""
    chunks: list[bytes] = []
    size = 0
    while (message := await receive())["type"] == "http.request":
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if not message.get("more_body", False) or size > _BODY_BYTES_MAX:
            break
    return b"".join(chunks)[:_BODY_BYTES_MAX]

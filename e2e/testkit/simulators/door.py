"""The door that every provider call passes: it is recorded there, and planned faults are played there."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from testkit.simulators.calls import Call, CallLog
from testkit.simulators.faults import Effect, Fault, FaultKind, FaultPlan, UsageVariant, merge_patch
from testkit.simulators.server import CUT_EXTENSION

_BODY_BYTES_MAX = 4 * 1024 * 1024
_UNRECORDED_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_USAGE_VARIANT = "testkit.usage_variant"
_PROXY_PAGE = "<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>nginx</body></html>"

_ERROR_STATUS = {
    FaultKind.RATE_LIMITED: 429,
    FaultKind.SERVER_ERROR: 500,
    FaultKind.BAD_GATEWAY_HTML: 502,
    FaultKind.UNAVAILABLE: 503,
    FaultKind.GATEWAY_TIMEOUT: 504,
}
_PROXY_SPEAKS = frozenset({FaultKind.BAD_GATEWAY_HTML, FaultKind.GATEWAY_TIMEOUT})
_SPOILS_THE_ANSWER = frozenset(
    {FaultKind.ALTERED, FaultKind.EMPTY_BODY, FaultKind.HALF_RESPONSE, FaultKind.MALFORMED_JSON}
)


class Door:
    """ASGI middleware around a provider's API.

    `name_operation` names a call from its method and path (these are the names that faults and the call log use);
    `error_body` writes an error of a given status in the provider's shape.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        plan: FaultPlan,
        calls: CallLog,
        name_operation: Callable[[str, str], str],
        error_body: Callable[[int], dict[str, Any]],
    ) -> None:
        self._app = app
        self._plan = plan
        self._calls = calls
        self._name_operation = name_operation
        self._error_body = error_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Records the call, then lets it pass or go wrong as planned."""
        body = await _read_body(receive)
        operation = self._name_operation(scope["method"], scope["path"])
        fault = self._plan.take(operation)
        call = await self._calls.begin(_as_call(scope, body, operation, fault))

        async def recording_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
            await send(message)

        visit = _Visit(scope, body, receive, recording_send)
        if fault is None:
            await visit.answer_rightly(self._app)
        else:
            await self._play(fault, visit)

    async def _play(self, fault: Fault, visit: "_Visit") -> None:
        if fault.kind is FaultKind.USAGE:
            visit.scope[_USAGE_VARIANT] = fault.usage_variant
            await visit.answer_rightly(self._app)
        elif fault.kind is FaultKind.DELAY and fault.effect is Effect.NONE:
            await asyncio.sleep(fault.seconds)
            await visit.answer_rightly(self._app)
        elif fault.kind in _SPOILS_THE_ANSWER:
            await _spoil(fault, visit, await visit.carry_out(self._app))
        else:
            await self._refuse_to_answer(fault, visit)

    async def _refuse_to_answer(self, fault: Fault, visit: "_Visit") -> None:
        answer = await visit.carry_out(self._app) if fault.effect is Effect.DONE else None
        if fault.kind is FaultKind.DELAY and answer is not None:
            await asyncio.sleep(fault.seconds)
            await visit.send_answer(answer)
        elif fault.kind is FaultKind.HANG:
            try:
                await visit.wait_for_the_client_to_leave(fault.seconds)
            finally:
                # Also when the simulator stops meanwhile: its server would answer 500.
                await visit.cut(reset=False)
        elif fault.kind is FaultKind.RESET:
            await visit.cut(reset=True)
        else:
            await visit.send_answer(self._error(fault))

    def _error(self, fault: Fault) -> "_Answer":
        status = _ERROR_STATUS[fault.kind]
        if fault.kind in _PROXY_SPEAKS:
            return _Answer(status, _PROXY_PAGE.format(status=status).encode(), content_type="text/html")
        retry_after = fault.retry_after_seconds
        if retry_after is None and fault.kind is FaultKind.RATE_LIMITED:
            retry_after = 1
        headers = [] if retry_after is None else [(b"retry-after", str(retry_after).encode())]
        return _Answer(status, json.dumps(self._error_body(status)).encode(), more_headers=headers)


def usage_variant_of(scope: Scope) -> UsageVariant | None:
    """How the answer to this call shall count its usage, if a fault asks for it."""
    variant: UsageVariant | None = scope.get(_USAGE_VARIANT)
    return variant


@dataclass(slots=True)
class _Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    more_headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Visit:
    """One call with its body already read, and the ways to end it."""

    scope: Scope
    body: bytes
    receive: Receive
    send: Send

    async def answer_rightly(self, app: ASGIApp) -> None:
        await app(self.scope, self._body_again(), self.send)

    async def carry_out(self, app: ASGIApp) -> _Answer:
        """Runs the call and keeps its answer from the client."""
        answer = _Answer(500, b"")

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
            else:
                answer.body += message.get("body", b"")

        await app(self.scope, self._body_again(), keep)
        return answer

    async def send_answer(self, answer: _Answer, *, cut_at: int | None = None) -> None:
        """Sends an answer; with `cut_at`, only that many bytes of the body it announces."""
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            *answer.more_headers,
        ]
        await self.send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = answer.body[:cut_at]
        await self.send({"type": "http.response.body", "body": body, "more_body": cut_at is not None})

    async def wait_for_the_client_to_leave(self, seconds_max: float) -> None:
        try:
            await asyncio.wait_for(self._client_has_left(), seconds_max)
        except TimeoutError:
            return

    async def cut(self, *, reset: bool) -> None:
        self.scope["extensions"][CUT_EXTENSION](reset=reset)
        # The server learns in its own time that the connection is gone; returning earlier would make it answer 500.
        await self._client_has_left()

    async def _client_has_left(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            continue

    def _body_again(self) -> Receive:
        unread = [self.body]

        async def receive() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            return await self.receive()

        return receive


async def _spoil(fault: Fault, visit: _Visit, answer: _Answer) -> None:
    half = len(answer.body) // 2
    if fault.kind is FaultKind.HALF_RESPONSE:
        await visit.send_answer(answer, cut_at=half)
        await visit.cut(reset=False)
        return
    if fault.kind is FaultKind.ALTERED:
        answer.body = json.dumps(merge_patch(json.loads(answer.body), fault.changes), ensure_ascii=False).encode()
    elif fault.kind is FaultKind.MALFORMED_JSON:
        answer.body = answer.body[:half]
    else:
        answer.body = b""
    await visit.send_answer(answer)


async def _read_body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while (message := await receive())["type"] == "http.request":
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False) or sum(map(len, chunks)) > _BODY_BYTES_MAX:
            break
    return b"".join(chunks)[:_BODY_BYTES_MAX]


def _as_call(scope: Scope, body: bytes, operation: str, fault: Fault | None) -> Call:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Call(
        number=0,
        operation=operation,
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        client=scope["client"][0],
        headers={name: value for name, value in headers.items() if name not in _UNRECORDED_HEADERS},
        body=_readable(body),
        fault=None if fault is None else fault.kind,
    )


def _readable(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")

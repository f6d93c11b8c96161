"""The door that every provider call passes: it is recorded there, and planned faults are played there."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from testkit.simulators.calls import Call, CallEnding
from testkit.simulators.deliveries import Stop, pieces_of
from testkit.simulators.faults import RIGHT_ANSWERS, Effect, Fault, FaultKind, merge_patch
from testkit.simulators.pauses import Pause
from testkit.simulators.stage import Stage
from testkit.simulators.visit import Answer, Visit, read_body

_UNRECORDED_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_FAULT = "testkit.fault"
_PROXY_PAGE = "<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>nginx</body></html>"

_ERROR_STATUS = {
    FaultKind.RATE_LIMITED: 429,
    FaultKind.SERVER_ERROR: 500,
    FaultKind.BAD_GATEWAY_HTML: 502,
    FaultKind.UNAVAILABLE: 503,
    FaultKind.GATEWAY_TIMEOUT: 504,
}
_PROXY_SPEAKS = frozenset({FaultKind.BAD_GATEWAY_HTML, FaultKind.GATEWAY_TIMEOUT})
_OTHER_SHAPE = b'{"result": [{"ok": true}, 42], "message": "welcome"}'
_SPOILS_THE_ANSWER = frozenset(
    {
        FaultKind.EMPTY_BODY,
        FaultKind.HALF_RESPONSE,
        FaultKind.MALFORMED_JSON,
        FaultKind.SLOW_DRIP,
        FaultKind.WRONG_JSON,
    }
)
_CUTS = frozenset({FaultKind.RESET, FaultKind.HALF_RESPONSE})


class Door:
    """ASGI middleware around a provider's API.

    `name_operation` names a call from its method and path (these are the names that faults and the call log use);
    `error_body` writes an error of a given status in the provider's shape.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        stage: Stage,
        name_operation: Callable[[str, str], str],
        error_body: Callable[[int], dict[str, Any]],
    ) -> None:
        self._app = app
        self._stage = stage
        self._name_operation = name_operation
        self._error_body = error_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Records the call, then lets it pass or go wrong as planned."""
        operation = self._name_operation(scope["method"], scope["path"])
        body = await read_body(receive)
        fault = self._stage.plan.take(operation)
        readable = await Visit(scope, body, receive, send).readable_body()
        call = await self._stage.calls.begin(_as_call(scope, readable, operation, fault))
        visit = Visit(scope, body, receive, self._recording(call, send))
        try:
            if fault is None:
                await visit.answer_rightly(self._app)
            else:
                await self._play(fault, visit, call)
        finally:
            is_cut = fault is not None and _cuts_the_connection(fault)
            await self._stage.calls.end(call, CallEnding.CUT if is_cut else CallEnding.CLIENT_LEFT)

    def _recording(self, call: Call, send: Send) -> Send:
        async def recording_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
            await send(message)
            if message["type"] == "http.response.body":
                call.sent_bytes += len(message.get("body", b""))
                if not message.get("more_body", False):
                    await self._stage.calls.end(call, CallEnding.WHOLE)

        return recording_send

    async def _play(self, fault: Fault, visit: Visit, call: Call) -> None:
        if fault.kind in RIGHT_ANSWERS:
            await self._answer_as_planned(fault, visit, call)
        elif fault.kind is FaultKind.DELAY and fault.effect is Effect.NONE:
            await asyncio.sleep(fault.seconds)
            await visit.answer_rightly(self._app)
        elif fault.kind in _SPOILS_THE_ANSWER:
            await _spoil(fault, visit, await visit.carry_out(self._app))
        else:
            await self._refuse_to_answer(fault, visit)

    async def _answer_as_planned(self, fault: Fault, visit: Visit, call: Call) -> None:
        visit.scope[_FAULT] = fault
        if fault.delivery is None and fault.changes is None:
            await visit.answer_rightly(self._app)
            return
        answer = await visit.carry_out(self._app)
        if fault.changes is not None:
            answer.body = _altered(answer, fault.changes)
        if fault.delivery is None:
            await visit.send_answer(answer)
            return

        async def pause(after_events: int | None) -> bool:
            waiting = Pause(call=call.number, after_events=after_events)
            return await self._stage.pauses.wait_for_resumption(waiting, visit.client_has_left)

        if fault.delivery.pause_before_status and not await pause(None):
            return
        pieces = pieces_of(answer.body, fault.delivery, is_stream=answer.is_stream)
        await visit.send_pieces(answer, pieces, pause)

    async def _refuse_to_answer(self, fault: Fault, visit: Visit) -> None:
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

    def _error(self, fault: Fault) -> Answer:
        status = fault.status or _ERROR_STATUS[fault.kind]
        if fault.kind in _PROXY_SPEAKS:
            return Answer(status, _PROXY_PAGE.format(status=status).encode(), content_type="text/html")
        retry_after = fault.retry_after_seconds
        if retry_after is None and fault.kind is FaultKind.RATE_LIMITED:
            retry_after = 1
        headers = [] if retry_after is None else [(b"retry-after", str(retry_after).encode())]
        return Answer(status, json.dumps(self._error_body(status)).encode(), more_headers=headers)


def fault_of(scope: Scope) -> Fault | None:
    """What a good answer to this call shall be like, if a fault asks for something special."""
    fault: Fault | None = scope.get(_FAULT)
    return fault


def _cuts_the_connection(fault: Fault) -> bool:
    stop = None if fault.delivery is None else fault.delivery.stop
    return fault.kind in _CUTS or stop in {Stop.CLOSE, Stop.RESET}


def _altered(answer: Answer, changes: dict[str, Any]) -> bytes:
    """The answer with the changes merged in; of a stream the last event whose data are JSON."""
    if not answer.is_stream:
        return _changed(answer.body.decode(), changes).encode()
    events = answer.body.decode().split("\n\n")
    for index, event in reversed(list(enumerate(events))):
        head, data, document = event.rpartition("data: {")
        if data:
            events[index] = f"{head}data: {_changed('{' + document, changes)}"
            break
    return "\n\n".join(events).encode()


def _changed(document: str, changes: dict[str, Any]) -> str:
    return json.dumps(merge_patch(json.loads(document), changes), ensure_ascii=False)


async def _spoil(fault: Fault, visit: Visit, answer: Answer) -> None:
    half = len(answer.body) // 2
    if fault.kind is FaultKind.HALF_RESPONSE:
        await visit.send_answer(answer, cut_at=half)
        await visit.cut(reset=False)
    elif fault.kind is FaultKind.SLOW_DRIP:
        await visit.drip(answer, seconds=fault.seconds)
    else:
        spoilt = {FaultKind.MALFORMED_JSON: answer.body[:half], FaultKind.WRONG_JSON: _OTHER_SHAPE}
        answer.body = spoilt.get(fault.kind, b"")
        await visit.send_answer(answer)


def _as_call(scope: Scope, body: Any, operation: str, fault: Fault | None) -> Call:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Call(
        number=0,
        operation=operation,
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        client=scope["client"][0],
        headers={name: value for name, value in headers.items() if name not in _UNRECORDED_HEADERS},
        body=body,
        fault=None if fault is None else fault.kind,
    )

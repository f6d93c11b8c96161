"""A webhook receiver: takes every request, remembers it, answers 200 unless a fault is planned."""

from collections import deque
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from testkit.simulators.clock import MovableClock
from testkit.simulators.control import control_router
from testkit.simulators.door import Door
from testkit.simulators.stage import Stage
from testkit.simulators.visit import read_body

OPERATION = "receive"
_MESSAGES_KEPT = 1000


def create_receiver() -> FastAPI:
    """The receiver as one ASGI application; everything outside `/control` is the operation `receive`."""
    stage = Stage()
    accepted: deque[dict[str, Any]] = deque(maxlen=_MESSAGES_KEPT)
    app = FastAPI(title="Webhook receiver", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(control_router(stage, MovableClock()))

    @app.post("/control/reset")
    async def start_over() -> dict[str, Any]:
        """Forgets calls, messages and faults."""
        stage.clear()
        accepted.clear()
        return {"reset": True}

    @app.get("/control/messages")
    async def messages() -> dict[str, Any]:
        """The accepted messages to the letter, oldest first: what a signature is about."""
        return {"items": list(accepted)}

    async def accept(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        text = (await read_body(receive)).decode(errors="replace")
        accepted.append({"path": scope["path"], "headers": headers, "text": text})
        await JSONResponse({"received": True})(scope, receive, send)

    door = Door(accept, stage=stage, name_operation=lambda *_: OPERATION, error_body=_error_body)
    app.mount("/", door)
    return app


def _error_body(status: int) -> dict[str, Any]:
    return {"error": f"planned {status}"}

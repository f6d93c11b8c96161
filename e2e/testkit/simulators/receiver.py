"""A webhook receiver: takes every request, remembers it, answers 200 unless a fault is planned."""

from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from testkit.simulators.clock import MovableClock
from testkit.simulators.control import control_router
from testkit.simulators.door import Door
from testkit.simulators.stage import Stage

OPERATION = "receive"


def create_receiver() -> FastAPI:
    """The receiver as one ASGI application; everything outside `/control` is the operation `receive`."""
    stage = Stage()
    app = FastAPI(title="Webhook receiver", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(control_router(stage, MovableClock()))

    @app.post("/control/reset")
    async def start_over() -> dict[str, Any]:
        """Forgets calls and faults."""
        stage.clear()
        return {"reset": True}

    door = Door(_accept, stage=stage, name_operation=lambda *_: OPERATION, error_body=_error_body)
    app.mount("/", door)
    return app


async def _accept(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"received": True})(scope, receive, send)


def _error_body(status: int) -> dict[str, Any]:
    return {"error": f"planned {status}"}

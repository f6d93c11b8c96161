"""The model provider over HTTP: `/v1/models`, `/v1/chat/completions`, and the control API beside them."""

import hmac
import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from testkit.simulators.calls import CallLog
from testkit.simulators.clock import MovableClock, machine_time
from testkit.simulators.control import control_router
from testkit.simulators.door import Door, usage_variant_of
from testkit.simulators.faults import FaultPlan
from testkit.simulators.model.completion import Completion, complete, usage_of

_OPERATIONS = {
    ("POST", "/v1/chat/completions"): "create_chat_completion",
    ("GET", "/v1/models"): "list_models",
}
_ERROR_TYPE = {400: "invalid_request_error", 401: "invalid_request_error", 404: "invalid_request_error"}
_ERROR_TYPE |= {429: "rate_limit_error", 500: "server_error", 503: "server_error"}
_CHOICES_MAX = 16


class ModelSettings(BaseModel):
    """Who this provider is: its key, the models it serves, and the seed of everything it says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: str = Field(default="sk-simulated-upstream", min_length=1)
    models: tuple[str, ...] = ("gpt-4o-mini", "gpt-4o", "free-chat")
    seed: int = 1


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class _ChatRequest(BaseModel):
    """The request's members that change the answer; the others are accepted as the real API accepts them."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[_Message], Field(min_length=1)]
    n: int = Field(default=1, ge=1, le=_CHOICES_MAX)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stream: bool = False

    def tokens_max(self) -> int | None:
        """The newer name of the limit wins."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class _ApiError(Exception):
    def __init__(self, status: int, message: str, *, code: str | None, parameter: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = _error_body(status, message, code=code, parameter=parameter)


def create_model(settings: ModelSettings | None = None, *, now: Callable[[], datetime] = machine_time) -> FastAPI:
    """The whole simulator as one ASGI application; `now` is the base of its movable clock."""
    settings = settings or ModelSettings()
    plan, calls, clock = FaultPlan(), CallLog(), MovableClock(now)
    app = FastAPI(title="Simulated model provider", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(control_router(plan=plan, calls=calls, clock=clock))

    @app.post("/control/reset")
    async def start_over() -> dict[str, Any]:
        """Forgets calls and faults."""
        plan.clear()
        calls.clear()
        return {"reset": True}

    api = _create_api(settings, clock)
    app.mount("/v1", Door(api, plan=plan, calls=calls, name_operation=_name_operation, error_body=_planned_error))
    return app


def _create_api(settings: ModelSettings, clock: MovableClock) -> FastAPI:
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_error_shapes(api)

    @api.get("/models")
    async def list_models(request: Request) -> dict[str, Any]:
        _check_key(request, settings)
        return {"object": "list", "data": [_model_object(name) for name in settings.models]}

    @api.get("/models/{name}")
    async def get_model(request: Request, name: str) -> dict[str, Any]:
        _check_key(request, settings)
        _check_model(name, settings)
        return _model_object(name)

    @api.post("/chat/completions")
    async def create_chat_completion(request: Request) -> JSONResponse:
        _check_key(request, settings)
        asked = _ChatRequest.model_validate(await _json_object(request))
        _check_model(asked.model, settings)
        if asked.stream:
            raise _ApiError(
                400, "This simulator answers without streaming.", code="unsupported_value", parameter="stream"
            )
        completion = complete(
            seed=settings.seed,
            model=asked.model,
            messages=[message.model_dump() for message in asked.messages],
            choices=asked.n,
            tokens_max=asked.tokens_max(),
        )
        body = _as_json(completion, model=asked.model, created_at=clock.now())
        return JSONResponse(body | usage_of(completion, usage_variant_of(request.scope)))

    return api


def _as_json(completion: Completion, *, model: str, created_at: datetime) -> dict[str, Any]:
    return {
        "id": completion.id,
        "object": "chat.completion",
        "created": int(created_at.timestamp()),
        "model": model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": reply.text, "refusal": None},
                "logprobs": None,
                "finish_reason": reply.finish_reason,
            }
            for index, reply in enumerate(completion.replies)
        ],
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def _model_object(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "simulator"}


def _check_key(request: Request, settings: ModelSettings) -> None:
    expected = f"Bearer {settings.api_key}".encode()
    if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
        raise _ApiError(401, "Incorrect API key provided.", code="invalid_api_key")


def _check_model(name: str, settings: ModelSettings) -> None:
    if name not in settings.models:
        raise _ApiError(
            404, f"The model `{name}` does not exist or you do not have access to it.", code="model_not_found"
        )


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _ApiError(400, "We could not parse the JSON body of your request.", code=None)
    return body


def _name_operation(method: str, path: str) -> str:
    if path.startswith("/v1/models/"):
        return "get_model"
    return _OPERATIONS.get((method, path), "unknown")


def _planned_error(status: int) -> dict[str, Any]:
    messages = {429: "Rate limit reached for requests.", 503: "The engine is currently overloaded."}
    code = "rate_limit_exceeded" if status == 429 else None  # noqa: PLR2004 - the HTTP status speaks for itself
    return _error_body(status, messages.get(status, "The server had an error."), code=code)


def _error_body(status: int, message: str, *, code: str | None, parameter: str | None = None) -> dict[str, Any]:
    kind = _ERROR_TYPE.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": parameter, "code": code}}


def _add_error_shapes(api: FastAPI) -> None:
    @api.exception_handler(_ApiError)
    async def own_error(_: Request, error: _ApiError) -> JSONResponse:
        return JSONResponse(error.body, status_code=error.status)

    @api.exception_handler(HTTPException)
    async def unknown_address(request: Request, error: HTTPException) -> JSONResponse:
        message = f"Invalid URL ({request.method} {request.url.path})"
        return JSONResponse(_error_body(error.status_code, message, code=None), status_code=error.status_code)

    @api.exception_handler(ValidationError)
    async def bad_request(_: Request, error: ValidationError) -> JSONResponse:
        first = error.errors()[0]
        parameter = ".".join(str(part) for part in first["loc"])
        body = _error_body(400, f"Invalid value for '{parameter}': {first['msg']}", code=None, parameter=parameter)
        return JSONResponse(body, status_code=400)

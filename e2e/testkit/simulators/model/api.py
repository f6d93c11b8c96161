"""The model provider over HTTP: its routes under `/v1`, and the control API beside them."""

import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from testkit.simulators.clock import MovableClock, machine_time
from testkit.simulators.control import control_router
from testkit.simulators.door import Door, fault_of
from testkit.simulators.model import audio, chat, responses
from testkit.simulators.model.embeddings import embed
from testkit.simulators.model.events import stream
from testkit.simulators.model.images import images, png_of_name
from testkit.simulators.model.refusals import ApiError, add_error_shapes, planned_error, unsupported
from testkit.simulators.model.requests import (
    Asked,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    ImagesRequest,
    ResponsesRequest,
    SpeechRequest,
    TranscriptionRequest,
    form_of,
    json_object,
)
from testkit.simulators.stage import Stage

_Asked = TypeVar("_Asked", bound=Asked)
_OPERATIONS = {
    ("POST", "/v1/chat/completions"): "create_chat_completion",
    ("POST", "/v1/responses"): "create_response",
    ("POST", "/v1/completions"): "create_completion",
    ("POST", "/v1/embeddings"): "create_embedding",
    ("POST", "/v1/images/generations"): "generate_images",
    ("POST", "/v1/images/edits"): "edit_images",
    ("POST", "/v1/audio/speech"): "create_speech",
    ("POST", "/v1/audio/transcriptions"): "create_transcription",
    ("GET", "/v1/models"): "list_models",
}
_MODELS = (
    *("gpt-4o-mini", "gpt-4o", "free-chat", "gpt-3.5-turbo-instruct", "text-embedding-3-small"),
    *("gpt-image-1", "tts-1", "whisper-1"),
)


class ModelSettings(BaseModel):
    """Who this provider is: its key, the models it serves, and the seed of everything it says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: str = Field(default="sk-simulated-upstream", min_length=1)
    models: tuple[str, ...] = _MODELS
    """Each is served on every route."""
    seed: int = 1


def create_model(settings: ModelSettings | None = None, *, now: Callable[[], datetime] = machine_time) -> FastAPI:
    """The whole simulator as one ASGI application; `now` is the base of its movable clock."""
    settings = settings or ModelSettings()
    stage, clock = Stage(), MovableClock(now)
    app = FastAPI(title="Simulated model provider", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(control_router(stage, clock))

    @app.post("/control/reset")
    async def start_over() -> dict[str, Any]:
        """Forgets calls and faults."""
        stage.clear()
        return {"reset": True}

    @app.get("/files/{name}")
    async def get_file(name: str) -> Response:
        """A picture whose address an answer gave."""
        content = png_of_name(name)
        return Response(status_code=404) if content is None else Response(content, media_type="image/png")

    api = _create_api(_Provider(settings, clock))
    app.mount("/v1", Door(api, stage=stage, name_operation=_name_operation, error_body=planned_error))
    return app


class _Provider:
    """What all routes need: who may call which model, and what time it is."""

    def __init__(self, settings: ModelSettings, clock: MovableClock) -> None:
        self.settings = settings
        self.seed = settings.seed
        self._clock = clock

    @property
    def now(self) -> int:
        """The moment that answers carry."""
        return int(self._clock.now().timestamp())

    def check_key(self, request: Request) -> None:
        """Raises ApiError unless the caller has the key."""
        expected = f"Bearer {self.settings.api_key}".encode()
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def check_model(self, name: str) -> None:
        """Raises ApiError unless the model is served."""
        if name not in self.settings.models:
            message = f"The model `{name}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found")

    async def read(self, request: Request, kind: type[_Asked], body: dict[str, Any] | None = None) -> _Asked:
        """The request, from somebody who has the key, for a model that is served; its body unless `body` is given."""
        self.check_key(request)
        asked = kind.model_validate(await json_object(request) if body is None else body)
        self.check_model(asked.model)
        return asked


def _create_api(provider: _Provider) -> FastAPI:
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_error_shapes(api)
    _add_models(api, provider)
    _add_texts(api, provider)
    _add_images(api, provider)
    _add_sounds(api, provider)
    return api


def _add_models(api: FastAPI, provider: _Provider) -> None:
    @api.get("/models")
    async def list_models(request: Request) -> dict[str, Any]:
        provider.check_key(request)
        return {"object": "list", "data": [_model_object(name) for name in provider.settings.models]}

    @api.get("/models/{name}")
    async def get_model(request: Request, name: str) -> dict[str, Any]:
        provider.check_key(request)
        provider.check_model(name)
        return _model_object(name)


def _add_texts(api: FastAPI, provider: _Provider) -> None:
    @api.post("/chat/completions")
    async def create_chat_completion(request: Request) -> Response:
        asked = await provider.read(request, ChatRequest)
        completion = chat.chat_completion(asked, seed=provider.seed)
        shape, fault = chat.ChatShape(asked.model, provider.now), fault_of(request.scope)
        if asked.stream:
            return stream(chat.as_events(completion, shape, fault, includes_usage=asked.includes_usage))
        return JSONResponse(chat.as_json(completion, shape, fault))

    @api.post("/completions")
    async def create_completion(request: Request) -> Response:
        asked = await provider.read(request, CompletionRequest)
        completion = chat.text_completion(asked, seed=provider.seed)
        shape, fault = chat.TextShape(asked.model, provider.now), fault_of(request.scope)
        if asked.stream:
            return stream(chat.as_events(completion, shape, fault, includes_usage=asked.includes_usage))
        return JSONResponse(chat.as_json(completion, shape, fault))

    @api.post("/responses")
    async def create_response(request: Request) -> Response:
        asked = await provider.read(request, ResponsesRequest)
        completion = responses.response_completion(asked, seed=provider.seed)
        now, fault = provider.now, fault_of(request.scope)
        if asked.stream:
            return stream(responses.as_events(asked, completion, created_at=now, fault=fault))
        return JSONResponse(responses.as_object(asked, completion, created_at=now, fault=fault))

    @api.post("/embeddings")
    async def create_embedding(request: Request) -> Response:
        asked = await provider.read(request, EmbeddingRequest)
        return JSONResponse(embed(asked, seed=provider.seed, fault=fault_of(request.scope)))


def _add_images(api: FastAPI, provider: _Provider) -> None:
    def answer(request: Request, asked: ImagesRequest) -> Response:
        if asked.stream:
            raise unsupported("stream", "This simulator draws without streaming.")
        files_url = f"{request.url.scheme}://{request.url.netloc}/files"
        fault = fault_of(request.scope)
        return JSONResponse(images(asked, created_at=provider.now, files_url=files_url, fault=fault))

    @api.post("/images/generations")
    async def generate_images(request: Request) -> Response:
        return answer(request, await provider.read(request, ImagesRequest))

    @api.post("/images/edits")
    async def edit_images(request: Request) -> Response:
        provider.check_key(request)
        fields, files = await form_of(request)
        if not files.get("image"):
            raise ApiError(400, "Missing required parameter: 'image'.", parameter="image")
        return answer(request, await provider.read(request, ImagesRequest, fields))


def _add_sounds(api: FastAPI, provider: _Provider) -> None:
    @api.post("/audio/speech")
    async def create_speech(request: Request) -> Response:
        content, media_type = audio.speech(await provider.read(request, SpeechRequest))
        return Response(content, media_type=media_type)

    @api.post("/audio/transcriptions")
    async def create_transcription(request: Request) -> Response:
        provider.check_key(request)
        fields, files = await form_of(request)
        asked = await provider.read(request, TranscriptionRequest, fields)
        sound = b"".join(files.get("file", [])[:1])
        heard = audio.transcription(asked, sound, seed=provider.seed, fault=fault_of(request.scope))
        return PlainTextResponse(heard) if isinstance(heard, str) else JSONResponse(heard)


def _model_object(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "simulator"}


def _name_operation(method: str, path: str) -> str:
    if path.startswith("/v1/models/"):
        return "get_model"
    return _OPERATIONS.get((method, path), "unknown")

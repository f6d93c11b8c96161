"""What the provider's routes are asked; members that change no answer are accepted as the real API accepts them."""

import json
from typing import Annotated, Any, Literal, Self

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from starlette.datastructures import UploadFile

from testkit.simulators.model.refusals import ApiError

_CHOICES_MAX = 16
_IMAGES_MAX = 10
_COMPLETION_TOKENS = 16
"""What the old completions route answers at most unless it is asked for more."""


class Asked(BaseModel):
    """What every request says."""

    model_config = ConfigDict(extra="allow")

    model: str


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    """Whether a stream shall end with its usage."""

    model_config = ConfigDict(extra="allow")

    include_usage: bool = False


class _Streaming(Asked):
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _asks_for_a_stream_first(self) -> Self:
        if self.stream_options is not None and not self.stream:
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise ValueError(message)
        return self

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(_Streaming):
    """`POST /chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    n: int | None = Field(default=1, ge=1, le=_CHOICES_MAX)
    max_tokens: PositiveInt | None = None
    max_completion_tokens: PositiveInt | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    reasoning_effort: str | None = None
    prompt_cache_key: str | None = None

    @property
    def tokens_max(self) -> int | None:
        """The newer name of the limit wins."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def tool(self) -> str | None:
        """The function that must be called, if one must."""
        named = [tool["function"]["name"] for tool in self.tools or [] if tool.get("type") == "function"]
        if isinstance(self.tool_choice, dict):
            return str(self.tool_choice["function"]["name"])
        return named[0] if named and self.tool_choice == "required" else None


class ResponsesRequest(_Streaming):
    """`POST /responses`."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: PositiveInt | None = None
    reasoning: dict[str, Any] | None = None
    prompt_cache_key: str | None = None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The input as a conversation."""
        said = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        before = [{"role": "developer", "content": self.instructions}] if self.instructions else []
        return [*before, *({"role": "user", "content": "", **turn} for turn in said)]


class CompletionRequest(_Streaming):
    """`POST /completions`."""

    prompt: str | list[str] | list[int] | list[list[int]]
    n: int | None = Field(default=1, ge=1, le=_CHOICES_MAX)
    max_tokens: PositiveInt | None = _COMPLETION_TOKENS

    @property
    def prompts(self) -> list[str | list[int]]:
        """One for each group of choices; numbers are tokens."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if all(isinstance(token, int) for token in self.prompt):
            return [[token for token in self.prompt if isinstance(token, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]


class EmbeddingRequest(Asked):
    """`POST /embeddings`."""

    input: str | list[str] | list[int] | list[list[int]]
    dimensions: int | None = Field(default=None, ge=1, le=3072)
    encoding_format: Literal["float", "base64"] = "float"

    @property
    def inputs(self) -> list[str | list[int]]:
        """One for each vector; numbers are tokens."""
        return CompletionRequest(model=self.model, prompt=self.input).prompts


class ImagesRequest(Asked):
    """`POST /images/generations`, and the form of `POST /images/edits` without its files."""

    prompt: Annotated[str, Field(min_length=1)]
    n: int | None = Field(default=1, ge=1, le=_IMAGES_MAX)
    size: str | None = Field(default="auto", pattern=r"^(auto|[1-9]\d{1,3}x[1-9]\d{1,3})$")
    response_format: Literal["url", "b64_json"] | None = None
    stream: bool | None = False


class SpeechRequest(Asked):
    """`POST /audio/speech`."""

    input: Annotated[str, Field(min_length=1, max_length=4096)]
    voice: str | dict[str, Any]
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    stream_format: Literal["audio", "sse"] = "audio"


class TranscriptionRequest(Asked):
    """The form of `POST /audio/transcriptions` without its file."""

    response_format: Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"] = "json"
    language: str | None = None
    stream: bool | None = False


async def json_object(request: Request) -> dict[str, Any]:
    """The request's body.

    Raises:
        ApiError: it is no JSON object.
    """
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(400, "We could not parse the JSON body of your request.")
    return body


async def form_of(request: Request) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    """The fields of the request's form, and the contents of its files by field; `name[]` is `name`.

    Raises:
        ApiError: it is no form.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ApiError(400, "We could not parse your multipart form.")
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.setdefault(name.removesuffix("[]"), []).append(await value.read())
            else:
                fields[name] = value
    return fields, files

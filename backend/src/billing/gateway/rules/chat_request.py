"""Reads a chat request, and bounds from above what it can use: the client cannot lower the bound by leaving things out.

Source of the request's members: OpenAI's API reference, "Create chat completion".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateway.errors import StreamUnsupported
from billing.kit.errors import InvalidInput

# Roles, separators and the start of the reply are tokens too, though no text of the request stands for them.
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_REQUEST = 8
_IMAGE_PARTS = ("image_url", "input_image")  # compared, not hashed: a stranger's type may be a list
_LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")
_NAME_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class QuoteBounds:
    """What the installation assumes and allows where the request leaves things open."""

    output_tokens_default: int
    image_tokens_max: int
    choices_max: int


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request that makes sense, with the most that it can use; `fields` is what the client sent."""

    model: str
    fields: Mapping[str, Any]
    input_tokens_bound: int
    output_tokens_bound: int

    def for_upstream(self, upstream_model: str) -> bytes:
        """The request as the provider gets it: our reading of it, so that both sides read the same."""
        return json.dumps({**self.fields, "model": upstream_model}).encode()


def read_chat_request(body: bytes | Mapping[str, Any], bounds: QuoteBounds) -> ChatRequest:
    """The request with its bounds.

    Raises:
        InvalidInput: not a JSON object, or a member that counts for the price is malformed; `field` names it.
        StreamUnsupported: it asks for a stream.
    """
    fields = _json_object(body) if isinstance(body, bytes) else dict(body)
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidInput("stream", "`stream` is true or false.")
    if stream:
        raise StreamUnsupported
    model = fields.get("model")
    if not (isinstance(model, str) and 1 <= len(model) <= _NAME_LENGTH_MAX):
        raise InvalidInput("model", "`model` is the name of a model.")
    messages = fields.get("messages")
    if not (isinstance(messages, list) and messages and all(map(_is_message, messages))):
        raise InvalidInput("messages", "`messages` is a list of at least one message with a role.")
    return ChatRequest(
        model=model,
        fields=fields,
        input_tokens_bound=_input_tokens_bound(fields, messages, bounds),
        output_tokens_bound=_output_tokens_bound(fields, bounds),
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise InvalidInput("body", "The body is not a JSON object.")
    return fields


def _json_text(fields: Mapping[str, Any]) -> str:
    try:
        return json.dumps(fields, ensure_ascii=False)
    except RecursionError as error:
        raise InvalidInput("body", "The body is nested too deeply.") from error


def _refuse_constant(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and isinstance(message.get("role"), str)


def _input_tokens_bound(fields: Mapping[str, Any], messages: list[dict[str, Any]], bounds: QuoteBounds) -> int:
    """A token is at least one byte of UTF-8, so the whole request's bytes bound its tokens, whatever members it has.

    Pictures are the exception: their bytes say little about their tokens, so each counts as the most that one can be.
    """
    images = 0
    slim = list(messages)
    for place, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, list):
            images += sum(map(_is_image, content))
            parts = [_without_picture(part) if _is_image(part) else part for part in content]
            slim[place] = {**message, "content": parts}
    byte_count = len(_json_text({**fields, "messages": slim}).encode(errors="surrogatepass"))
    overhead = _TOKENS_PER_REQUEST + _TOKENS_PER_MESSAGE * len(messages)
    return byte_count + overhead + images * bounds.image_tokens_max


def _is_image(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") in _IMAGE_PARTS


def _without_picture(part: dict[str, Any]) -> dict[str, Any]:
    """The part without its picture's address or data; whatever else stands in it is still counted."""
    image = part.get("image_url")
    return {**part, "image_url": {**image, "url": ""} if isinstance(image, dict) else ""}


def _output_tokens_bound(fields: Mapping[str, Any], bounds: QuoteBounds) -> int:
    """The smaller of what is asked for and the configured default, for each of the n choices."""
    limits = [_positive(fields, name) for name in _LIMIT_FIELDS if fields.get(name) is not None]
    # Providers differ in which of the two names they obey, so the larger one counts.
    each = min(max(limits, default=bounds.output_tokens_default), bounds.output_tokens_default)
    choices = _positive(fields, "n") if fields.get("n") is not None else 1
    if choices > bounds.choices_max:
        raise InvalidInput("n", f"`n` is at most {bounds.choices_max}.")
    return each * choices


def _positive(fields: Mapping[str, Any], name: str) -> int:
    value = fields[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(name, f"`{name}` is a whole number from 1 on.")
    return value

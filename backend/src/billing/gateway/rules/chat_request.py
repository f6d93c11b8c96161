"""Reads a chat request, and bounds from above what it can use: the client cannot lower the bound by leaving things out.

Source of the request's members: OpenAI's API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateway.rules.chat_stream import ChatStreamMeter, asking_for_usage, written_in
from billing.gateway.rules.doors import Door
from billing.gateway.rules.json_fields import (
    byte_count,
    flag_of,
    name_of,
    object_of,
    positive_of,
    rendered_request,
    request_object,
)
from billing.gateway.rules.metering import (
    TYPICAL_TOKENS_PER_PICTURE,
    Measured,
    counted_text,
    text_quantities,
    texts,
    typical_tokens,
    within_limit,
)
from billing.gateway.rules.paid_request import Delivery, Incoming, Outgoing, QuoteBounds
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.unpriced import require_own_parts, require_priced
from billing.gateway.rules.whole_answers import answered_list, answered_object, json_delivery
from billing.kit.errors import InvalidInput
from billing.pricing.rules import Quantities, RateSnapshot
from billing.quotas.rules import Amounts

# Roles, separators and the start of the reply are tokens too, though no text of the request stands for them.
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_REQUEST = 8
_TYPICAL_TOKENS_PER_MESSAGE = 4
_IMAGE_PARTS = ("image_url", "input_image")  # compared, not hashed: a stranger's type may be a list
_FILE_PARTS = ("file", "input_file")
_LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")
_PROMPT_MEMBERS = ("messages", "tools", "functions", "response_format")
_NO_PROMPT = frozenset({"role", "id", "type", "image_url", "file_data"})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request with the most that it can use; `fields` is what the client sent.

    `output_tokens_asked` is the limit that the client itself has set, for all its choices together, if it set one.
    """

    model: str
    fields: Mapping[str, Any]
    input_tokens_bound: int
    output_tokens_bound: int
    output_tokens_asked: int | None
    choices: int
    is_stream: bool
    shows_usage: bool
    door: Door = Door.CHAT

    def bounds(self, rates: RateSnapshot) -> Quantities:
        """Text costs by the token, whatever the rates."""
        del rates
        return text_quantities(self.input_tokens_bound, self.output_tokens_bound)

    @property
    def free_bounds(self) -> Amounts:
        """The most that it can use, as free quotas count it."""
        return Amounts(self.input_tokens_bound, self.output_tokens_bound)

    def for_upstream(self, upstream_model: str) -> Outgoing:
        """The request under the provider's model name; a stream is always asked for its usage.

        The provider keeps nothing of it, nor what only a kept answer may carry: no route here leads back to that.
        """
        fields = asking_for_usage(self.fields) if self.is_stream else self.fields
        kept = ("store", "metadata") if flag_of(self.fields, "store") else ()
        passed = {name: value for name, value in fields.items() if name not in kept}
        return Outgoing(rendered_request({**passed, "model": upstream_model}))

    def read(self, reply: UpstreamReply, *, public_model: str, upstream_model: str) -> Delivery:
        """The completion under the model's public name.

        Raises:
            UpstreamBroken: it claims success without a completion, or is no answer of an API at all.
        """
        body = answered_object(reply)
        answered_list(body, "choices")
        named = {"model": upstream_model, **body}  # a completion names its model, whatever the provider leaves out
        return json_delivery(named, public_model=public_model, upstream_model=upstream_model)

    def measure(self, delivery: Delivery, rates: RateSnapshot) -> Measured:
        """The provider's count, or our own of what is delivered."""
        del rates
        assert delivery.body is not None, "a completion is an object"
        written = written_in(delivery.body["choices"])

        def own_count() -> Quantities:
            return self.own_counter()(sum(typical_tokens(text) for text in texts(written)))

        return counted_text(delivery.body.get("usage"), own_count)

    def stream_meter(self, rates: RateSnapshot, *, public_model: str, upstream_model: str) -> ChatStreamMeter:
        """What reads and counts the streamed answer."""
        del rates
        return ChatStreamMeter(
            own_count=self.own_counter(),
            choices=self.choices,
            shows_usage=self.shows_usage,
            public_model=public_model,
            upstream_model=upstream_model,
        )

    def own_counter(self) -> Callable[[int], Quantities]:
        """What it used with so many tokens of output, where nobody else has counted.

        Never beyond the bound of what was sent, nor beyond a limit that the client set and the provider obeyed; a limit
        that we assumed binds no provider, so it does not bind the count.
        """
        prompt = [self.fields.get(member) for member in _PROMPT_MEMBERS]
        typical = _TYPICAL_TOKENS_PER_MESSAGE * len(self.fields["messages"])
        typical += TYPICAL_TOKENS_PER_PICTURE * sum(map(_opaque_parts, self.fields["messages"]))
        typical += sum(typical_tokens(text) for text in texts(prompt, without=_NO_PROMPT))
        input_tokens, asked = min(typical, self.input_tokens_bound), self.output_tokens_asked

        def count(output_tokens: int) -> Quantities:
            return text_quantities(input_tokens, within_limit(output_tokens, asked))

        return count


def read_chat_request(incoming: Incoming, bounds: QuoteBounds) -> ChatRequest:
    """The request with its bounds.

    Raises:
        InvalidInput: not a JSON object, a member that counts for the price is malformed, or one that has no price
            here; `field` names it.
    """
    fields = request_object(incoming.content)
    require_priced(fields)
    flag_of(fields, "store")
    is_stream = flag_of(fields, "stream")
    stream_options = object_of(fields, "stream_options")
    model = name_of(fields)
    messages = fields.get("messages")
    if not (isinstance(messages, list) and messages and all(map(_is_message, messages))):
        raise InvalidInput("messages", "`messages` is a list of at least one message with a role.")
    _require_own_messages(messages)
    choices = positive_of(fields, "n") or 1
    if choices > bounds.choices_max:
        raise InvalidInput("n", f"`n` is at most {bounds.choices_max}.")
    # A prediction that turns out wrong is charged as output, beyond what is shown.
    predicted = byte_count(fields["prediction"]) if object_of(fields, "prediction") else 0
    limits = [limit for limit in (positive_of(fields, name) for name in _LIMIT_FIELDS) if limit is not None]
    # Providers differ in which of the two names they obey, so the larger one counts.
    asked = max(limits, default=None)
    default = bounds.output_tokens_default
    return ChatRequest(
        model=model,
        fields=fields,
        input_tokens_bound=_input_tokens_bound(fields, messages, bounds),
        output_tokens_bound=choices * (predicted + (default if asked is None else min(asked, default))),
        output_tokens_asked=None if asked is None else choices * asked,
        choices=choices,
        is_stream=is_stream,
        shows_usage=flag_of(stream_options, "include_usage"),
    )


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and isinstance(message.get("role"), str)


def _require_own_messages(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        if message.get("audio") is not None:
            raise InvalidInput("messages", "`messages` hold no `audio`: an answer in sound is not offered here.")
        content = message.get("content")
        require_own_parts(content if isinstance(content, list) else (), "messages")


def _input_tokens_bound(fields: Mapping[str, Any], messages: list[dict[str, Any]], bounds: QuoteBounds) -> int:
    """A token is at least one byte of UTF-8, so the whole request's bytes bound its tokens, whatever members it has.

    Pictures are the exception: their bytes say little about their tokens, so each counts as the most that one can be;
    a file may hold pictures, so it counts as much besides its bytes.
    """
    opaque = 0
    slim = list(messages)
    for place, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, list):
            opaque += _opaque_parts(message)
            parts = [_without_picture(part) if _is_of(part, _IMAGE_PARTS) else part for part in content]
            slim[place] = {**message, "content": parts}
    overhead = _TOKENS_PER_REQUEST + _TOKENS_PER_MESSAGE * len(messages)
    return byte_count({**fields, "messages": slim}) + overhead + opaque * bounds.image_tokens_max


def _opaque_parts(message: Mapping[str, Any]) -> int:
    """How many parts of the message are pictures or files."""
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return sum(_is_of(part, (*_IMAGE_PARTS, *_FILE_PARTS)) for part in parts)


def _is_of(part: object, types: tuple[str, ...]) -> bool:
    return isinstance(part, dict) and part.get("type") in types


def _without_picture(part: dict[str, Any]) -> dict[str, Any]:
    """The part without its picture's address or data; whatever else stands in it is still counted."""
    image = part.get("image_url")
    return {**part, "image_url": {**image, "url": ""} if isinstance(image, dict) else ""}

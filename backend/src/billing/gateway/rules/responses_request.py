"""Reads requests of the responses route, and bounds from above what they can use.

Source of the members: OpenAI's API reference, "Create a model response".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateway.errors import UpstreamBroken
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
from billing.gateway.rules.responses_stream import ResponsesStreamMeter, written_in
from billing.gateway.rules.unpriced import require_own_parts, require_priced
from billing.gateway.rules.whole_answers import answered_object, json_delivery
from billing.kit.errors import InvalidInput
from billing.pricing.rules import Quantities, RateSnapshot
from billing.quotas.rules import Amounts

# Roles, separators and the start of the reply are tokens too, though no text of the request stands for them.
_TOKENS_PER_ITEM = 8
_TOKENS_PER_REQUEST = 8
_TYPICAL_TOKENS_PER_ITEM = 4
_PICTURE = "input_image"
_OPAQUE = (_PICTURE, "input_file")
_PROMPT_MEMBERS = ("instructions", "input", "tools", "text")
_NO_PROMPT = frozenset({"role", "id", "type", "status", "call_id", "image_url", "file_data", "encrypted_content"})
# What stands elsewhere at the provider: nobody can say what it costs before the call, nor whose it is, since all
# customers share our account there.
_ELSEWHERE = ("previous_response_id", "conversation", "prompt")


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A request with the most that it can use; `output_tokens_asked` is the client's own limit, if it set one."""

    model: str
    fields: Mapping[str, Any]
    input_tokens_bound: int
    output_tokens_bound: int
    output_tokens_asked: int | None
    is_stream: bool
    door: Door = Door.RESPONSES

    def bounds(self, rates: RateSnapshot) -> Quantities:
        """Text costs by the token, whatever the rates."""
        del rates
        return text_quantities(self.input_tokens_bound, self.output_tokens_bound)

    @property
    def free_bounds(self) -> Amounts:
        """The most that it can use, as free quotas count it."""
        return Amounts(self.input_tokens_bound, self.output_tokens_bound)

    def for_upstream(self, upstream_model: str) -> Outgoing:
        """The request under the provider's model name.

        The provider keeps nothing of it: no route here leads back to what it would keep.
        """
        return Outgoing(rendered_request({**self.fields, "model": upstream_model, "store": False}))

    def read(self, reply: UpstreamReply, *, public_model: str, upstream_model: str) -> Delivery:
        """The response under the model's public name.

        Raises:
            UpstreamBroken: it claims success without a response, or with one that failed.
        """
        body = answered_object(reply)
        if not isinstance(body.get("output"), list) or body.get("status") == "failed":
            raise UpstreamBroken
        return json_delivery(body, public_model=public_model, upstream_model=upstream_model)

    def measure(self, delivery: Delivery, rates: RateSnapshot) -> Measured:
        """The provider's count, or our own of what is delivered."""
        del rates
        assert delivery.body is not None, "a response is an object"
        output = delivery.body["output"]

        def own_count() -> Quantities:
            return self.own_counter()(sum(typical_tokens(text) for text in written_in(output)))

        return counted_text(delivery.body.get("usage"), own_count)

    def stream_meter(self, rates: RateSnapshot, *, public_model: str, upstream_model: str) -> ResponsesStreamMeter:
        """What reads and counts the streamed answer."""
        del rates
        return ResponsesStreamMeter(
            own_count=self.own_counter(), public_model=public_model, upstream_model=upstream_model
        )

    def own_counter(self) -> Callable[[int], Quantities]:
        """What it used with so many tokens of output, where nobody else has counted: never beyond the bound of what was
        sent, nor beyond a limit that the client set and the provider obeyed. The prompt is read once.
        """
        prompt = [self.fields.get(member) for member in _PROMPT_MEMBERS]
        typical = _TYPICAL_TOKENS_PER_ITEM * _items_in(self.fields.get("input"))
        typical += TYPICAL_TOKENS_PER_PICTURE * len(_opaque_in(_read_input(self.fields.get("input"))))
        typical += sum(typical_tokens(text) for text in texts(prompt, without=_NO_PROMPT))
        input_tokens, asked = min(typical, self.input_tokens_bound), self.output_tokens_asked

        def count(output_tokens: int) -> Quantities:
            return text_quantities(input_tokens, within_limit(output_tokens, asked))

        return count


def read_responses_request(incoming: Incoming, bounds: QuoteBounds) -> ResponsesRequest:
    """The request with its bounds.

    Raises:
        InvalidInput: not a JSON object, a member that counts for the price is malformed, or one that names what
            stands at the provider, runs there or has no price here; `field` names it.
    """
    fields = request_object(incoming.content)
    is_stream = flag_of(fields, "stream")
    object_of(fields, "stream_options")
    if flag_of(fields, "background"):
        raise InvalidInput("background", "`background` is not offered here: an answer is paid for when it is given.")
    elsewhere = next((name for name in _ELSEWHERE if fields.get(name) is not None), None)
    if elsewhere is not None:
        raise InvalidInput(elsewhere, f"`{elsewhere}` is not offered here; send the whole conversation as `input`.")
    require_priced(fields)
    asked = positive_of(fields, "max_output_tokens")
    default = bounds.output_tokens_default
    return ResponsesRequest(
        model=name_of(fields),
        fields=fields,
        input_tokens_bound=_input_tokens_bound(fields, bounds),
        output_tokens_bound=default if asked is None else min(asked, default),
        output_tokens_asked=asked,
        is_stream=is_stream,
    )


def _input_tokens_bound(fields: Mapping[str, Any], bounds: QuoteBounds) -> int:
    """A token is at least one byte of UTF-8, so the whole request's bytes bound its tokens, whatever members it has.

    Pictures are the exception: their bytes say little about their tokens, so each counts as the most that one can be;
    a file may hold pictures, so it counts as much besides its bytes.
    """
    items = _read_input(fields.get("input"))
    require_own_parts([part for item in items for part in (item, *_parts_of(item))], "input")
    opaque = _opaque_in(items)
    pictures = sum(byte_count(part.get("image_url")) for part in opaque if part.get("type") == _PICTURE)
    overhead = _TOKENS_PER_REQUEST + _TOKENS_PER_ITEM * max(1, len(items))
    return byte_count(fields) - pictures + overhead + len(opaque) * bounds.image_tokens_max


def _read_input(value: object) -> list[dict[str, Any]]:
    if isinstance(value, str) and value:
        return []
    if not (isinstance(value, list) and value and all(isinstance(item, dict) for item in value)):
        raise InvalidInput("input", "`input` is a text or a list of items, and not empty.")
    if any(item.get("type") == "item_reference" for item in value):
        raise InvalidInput("input", "`input` holds the items themselves, not references to them.")
    return value


def _opaque_in(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pictures and files among the items and their parts."""
    parts = (part for item in items for part in (item, *_parts_of(item)))
    return [part for part in parts if part.get("type") in _OPAQUE]


def _items_in(value: object) -> int:
    return len(value) if isinstance(value, list) else 1


def _parts_of(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a message, and those of a tool's output, which may hold pictures too."""
    for name in ("content", "output"):
        parts = item.get(name)
        if isinstance(parts, list):
            yield from (part for part in parts if isinstance(part, dict))

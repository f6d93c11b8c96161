"""Reads requests to go on with a text, as models before chat took them.

Source of the members: OpenAI's API reference, "Create completion" (legacy).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateway.rules.chat_stream import COMPLETION_CHUNK, ChatStreamMeter, asking_for_usage, written_in
from billing.gateway.rules.doors import Door
from billing.gateway.rules.json_fields import (
    flag_of,
    name_of,
    object_of,
    positive_of,
    rendered_request,
    request_object,
)
from billing.gateway.rules.metering import Measured, counted_text, text_quantities, texts, typical_tokens, within_limit
from billing.gateway.rules.paid_request import Delivery, Incoming, Outgoing, QuoteBounds
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.text_inputs import TextInputs, read_texts
from billing.gateway.rules.unpriced import require_priced
from billing.gateway.rules.whole_answers import answered_list, answered_object, json_delivery
from billing.kit.errors import InvalidInput
from billing.pricing.rules import Quantities, RateSnapshot
from billing.quotas.rules import Amounts

_CHOICES_IN_ALL_MAX = 2048


@dataclass(frozen=True, slots=True)
class CompletionsRequest:
    """Texts to go on with; each of the prompts gets its own choices.

    `candidates` are the texts that the provider writes in all, of which it may show fewer (`best_of`); `choices` are
    those that it shows. `output_tokens_asked` is the client's own limit for all candidates, if it set one.
    """

    model: str
    fields: Mapping[str, Any]
    texts: TextInputs
    output_tokens_bound: int
    output_tokens_asked: int | None
    candidates: int
    choices: int
    is_stream: bool
    shows_usage: bool
    repeats_prompt: bool
    door: Door = Door.COMPLETIONS

    def bounds(self, rates: RateSnapshot) -> Quantities:
        """Text costs by the token, whatever the rates."""
        del rates
        return text_quantities(self.texts.tokens_bound, self.output_tokens_bound)

    @property
    def free_bounds(self) -> Amounts:
        """The most that it can use, as free quotas count it."""
        return Amounts(self.texts.tokens_bound, self.output_tokens_bound)

    def for_upstream(self, upstream_model: str) -> Outgoing:
        """The request under the provider's model name; a stream is always asked for its usage."""
        fields = asking_for_usage(self.fields) if self.is_stream else self.fields
        return Outgoing(rendered_request({**fields, "model": upstream_model}))

    def read(self, reply: UpstreamReply, *, public_model: str, upstream_model: str) -> Delivery:
        """The texts under the model's public name.

        Raises:
            UpstreamBroken: it claims success without a choice, or is no answer of an API at all.
        """
        body = answered_object(reply)
        answered_list(body, "choices")
        return json_delivery(body, public_model=public_model, upstream_model=upstream_model)

    def measure(self, delivery: Delivery, rates: RateSnapshot) -> Measured:
        """The provider's count, or our own of what is delivered."""
        del rates
        assert delivery.body is not None, "a completion is an object"
        written = written_in(delivery.body["choices"])

        def own_count() -> Quantities:
            return self.own_count(sum(typical_tokens(text) for text in texts(written)))

        return counted_text(delivery.body.get("usage"), own_count)

    def stream_meter(self, rates: RateSnapshot, *, public_model: str, upstream_model: str) -> ChatStreamMeter:
        """What reads and counts the streamed answer."""
        del rates
        return ChatStreamMeter(
            own_count=self.own_count,
            choices=self.choices,
            shows_usage=self.shows_usage,
            public_model=public_model,
            upstream_model=upstream_model,
            shape=COMPLETION_CHUNK,
        )

    def own_count(self, output_tokens: int) -> Quantities:
        """What it used, where nobody else has counted; a prompt that was only repeated was not written.

        Candidates that are never shown were written too: each counts like those that are shown.
        """
        repeated = self.texts.tokens_typical * self.choices // self.texts.count if self.repeats_prompt else 0
        written = max(0, output_tokens - repeated) * self.candidates // self.choices
        return text_quantities(self.texts.tokens_typical, within_limit(written, self.output_tokens_asked))


def read_completions_request(incoming: Incoming, bounds: QuoteBounds) -> CompletionsRequest:
    """The request with its bounds.

    Raises:
        InvalidInput: not a JSON object, or a member that counts for the price is malformed; `field` names it.
    """
    fields = request_object(incoming.content)
    require_priced(fields)
    is_stream = flag_of(fields, "stream")
    texts = read_texts(fields, "prompt")
    shown = _at_most(fields, "n", bounds.choices_max)
    written = max(shown, _at_most(fields, "best_of", bounds.choices_max))
    if texts.count * written > _CHOICES_IN_ALL_MAX:
        raise InvalidInput("prompt", f"All prompts together get at most {_CHOICES_IN_ALL_MAX} choices.")
    asked = positive_of(fields, "max_tokens")
    default = bounds.output_tokens_default
    return CompletionsRequest(
        model=name_of(fields),
        fields=fields,
        texts=texts,
        output_tokens_bound=texts.count * written * (default if asked is None else min(asked, default)),
        output_tokens_asked=None if asked is None else texts.count * written * asked,
        candidates=texts.count * written,
        choices=texts.count * shown,
        is_stream=is_stream,
        shows_usage=flag_of(object_of(fields, "stream_options"), "include_usage"),
        repeats_prompt=flag_of(fields, "echo"),
    )


def _at_most(fields: Mapping[str, Any], name: str, choices_max: int) -> int:
    number = positive_of(fields, name) or 1
    if number > choices_max:
        raise InvalidInput(name, f"`{name}` is at most {choices_max}.")
    return number

"""Reads a streamed completion, chunk by chunk: of a chat, or of a text as models before chat wrote them.

Source of the chunks: OpenAI's API reference, "Chat completion chunk", "Create completion" and `stream_options`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.gateway.errors import UpstreamBroken
from billing.gateway.rules.error_shape import openai_error, why_refused
from billing.gateway.rules.json_fields import object_of, rendered_reply, reply_object
from billing.gateway.rules.metering import Measured, TextTally, counted_text, texts, tokens_in, tokens_out
from billing.gateway.rules.sse import ServerSentEvent
from billing.gateway.rules.stream_metering import Receipt
from billing.kit.errors import BillingError
from billing.pricing.rules import Quantities, Unit

DONE = b"data: [DONE]\n\n"
_DONE_DATA = "[DONE]"
# Where a choice holds what the model wrote; providers put it under another door's name, or all of it once more.
_WRITTEN = ("delta", "message", "text")
# What a chunk says about itself, which our own chunks repeat.
_ABOUT = ("id", "created", "system_fingerprint")


@dataclass(frozen=True, slots=True)
class ChunkShape:
    """How a door's chunks call themselves, and what a choice is in which nothing more is written."""

    kind: str
    nothing_written: Mapping[str, Any]


CHAT_CHUNK = ChunkShape("chat.completion.chunk", {"delta": {}})
COMPLETION_CHUNK = ChunkShape("text_completion", {"text": ""})


class ChatStreamMeter:
    """Passes chunks on under the model's public name, keeps usage for the end, and counts every text in the choices.

    Some providers tell the whole text once more at the end, under another name: the longest telling counts.
    """

    def __init__(
        self,
        *,
        own_count: Callable[[int], Quantities],
        choices: int,
        shows_usage: bool,
        public_model: str,
        upstream_model: str,
        shape: ChunkShape = CHAT_CHUNK,
    ) -> None:
        self._own_count = own_count
        self._choices = choices
        self._shows_usage = shows_usage
        self._public_model = public_model
        self._shape = shape
        self._tellings = {name: TextTally() for name in _WRITTEN}
        self._usage: object = None
        self._about: dict[str, Any] = {}
        self._open_choices: set[int] = set()
        self._ended_choices: set[int] = set()
        self._is_done = False
        self.has_delivered = False
        self.model_used = upstream_model

    @property
    def is_finished(self) -> bool:
        """The end mark came, or every choice said why it ended; usage may still follow then."""
        return self._is_done or (not self._open_choices and len(self._ended_choices) >= self._choices)

    def see(self, event: ServerSentEvent) -> bytes:
        """The chunk as the client gets it.

        Raises:
            UpstreamBroken: it is no chunk, or it is the provider's error.
        """
        if self._is_done:
            return b""
        if event.data.strip() == _DONE_DATA:
            self._is_done = True
            return b""
        chunk = reply_object(event.data)
        if chunk is None or event.event == "error" or chunk.get("error") is not None:
            raise UpstreamBroken
        choices = chunk.get("choices")
        if not isinstance(choices, list | None) or not all(isinstance(choice, dict) for choice in choices or ()):
            raise UpstreamBroken
        self._learn_about(chunk)
        self._count(choices or [])
        usage = chunk.pop("usage", None)
        if usage is not None:
            self._usage = usage
            if not choices:
                return b""
        return _event({**chunk, "model": self._public_model})

    def measured(self) -> Measured:
        """The provider's count, unless output came after it; else our own of the texts that were passed on."""
        return counted_text(
            self._usage, lambda: self._own_count(max(tally.tokens for tally in self._tellings.values()))
        )

    def closing(self, receipt: Receipt) -> bytes:
        """A chunk with usage and cost if the client asked for usage, and the end mark."""
        return self._usage_chunk(receipt) + DONE

    def stopped(self, refusal: BillingError, receipt: Receipt) -> bytes:
        """A chunk that ends every open choice as cut for its length and says why, usage if asked for, the end mark."""
        cut = [
            {"index": index, **self._shape.nothing_written, "finish_reason": "length"}
            for index in sorted(self._open_choices)
        ]
        billing = {**receipt.to_json(), "stopped": why_refused(refusal)}
        return _event({**self._own_chunk(), "choices": cut, "billing": billing}) + self._usage_chunk(receipt) + DONE

    def broken(self, error: BillingError) -> bytes:
        """An event that the official client raises as an error; no end mark, because this is no end."""
        return _event(openai_error(error))

    def _learn_about(self, chunk: dict[str, Any]) -> None:
        self._about = self._about or {name: chunk[name] for name in _ABOUT if name in chunk}
        told = chunk.get("model")
        if isinstance(told, str) and told:
            self.model_used = told

    def _count(self, choices: list[dict[str, Any]]) -> None:
        """Text that comes after a usage report shows that the report was not the last word."""
        for choice in choices:
            for name in _WRITTEN:
                for text in texts(choice.get(name)):
                    if text:
                        self._tellings[name].add(text)
                        self._usage = None
                        self.has_delivered = True
            index = choice.get("index")
            number = index if isinstance(index, int) else 0
            if choice.get("finish_reason") is None:
                self._open_choices.add(number)
            else:
                self._open_choices.discard(number)
                self._ended_choices.add(number)

    def _usage_chunk(self, receipt: Receipt) -> bytes:
        if not self._shows_usage:
            return b""
        usage = usage_view(self.measured().quantities)
        return _event({**self._own_chunk(), "choices": [], "usage": usage, "billing": receipt.to_json()})

    def _own_chunk(self) -> dict[str, Any]:
        return {**self._about, "object": self._shape.kind, "model": self._public_model}


def written_in(choices: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What the model wrote in each choice of a whole answer, under whichever name it stands."""
    return [next((choice[name] for name in _WRITTEN if choice.get(name)), None) for choice in choices]


def asking_for_usage(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The request for a stream that ends with its usage, whether the client wants to see that or not.

    Raises:
        InvalidInput: its `stream_options` are no object.
    """
    return {**fields, "stream_options": {**object_of(fields, "stream_options"), "include_usage": True}}


def usage_view(quantities: Quantities) -> dict[str, Any]:
    """These quantities under OpenAI's names for chat."""
    prompt, completion = tokens_in(quantities), tokens_out(quantities)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": quantities.get(Unit.CACHED_INPUT, 0)},
        "completion_tokens_details": {"reasoning_tokens": quantities.get(Unit.REASONING, 0)},
    }


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + rendered_reply(body) + b"\n\n"

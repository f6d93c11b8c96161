"""Reads a streamed response, event by event.

Source of the events: OpenAI's API reference, "Streaming events" of the responses route. A stream ends with the event
that carries the whole response; there is no other end mark.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from billing.gateway.errors import UpstreamBroken
from billing.gateway.rules.error_shape import openai_error, why_refused
from billing.gateway.rules.json_fields import rendered_reply, reply_object
from billing.gateway.rules.metering import Measured, TextTally, counted_text, texts, tokens_in, tokens_out
from billing.gateway.rules.sse import ServerSentEvent
from billing.gateway.rules.stream_metering import Receipt
from billing.kit.errors import BillingError
from billing.pricing.rules import Quantities, Unit

_DONE_DATA = "[DONE]"
_ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILURES = frozenset({"error", "response.failed"})
# What the model wrote stands in these members, whatever kind of item it is.
_NOT_WRITTEN = frozenset(
    {"id", "type", "role", "status", "call_id", "item_id", "name", "annotations", "logprobs", "encrypted_content"}
)
_PIECES = "pieces"


class ResponsesStreamMeter:
    """Passes events on under the model's public name, keeps the last one until all is booked, and counts what is
    written.

    The same words come up to four times: in pieces, as a whole text, in their item, and in the whole response. Each
    telling is counted by itself, and the longest of them is what was written, because a provider may leave one out.
    """

    def __init__(self, *, own_count: Callable[[int], Quantities], public_model: str, upstream_model: str) -> None:
        self._own_count = own_count
        self._public_model = public_model
        self._tellings: defaultdict[str, TextTally] = defaultdict(TextTally)
        self._usage: object = None
        self._response: dict[str, Any] = {}
        self._last: dict[str, Any] | None = None
        self._sequence_number = 0
        self.has_delivered = False
        self.model_used = upstream_model

    @property
    def is_finished(self) -> bool:
        """The event with the whole response came."""
        return self._last is not None

    def see(self, event: ServerSentEvent) -> bytes:
        """The event as the client gets it; the last one is kept until it can say what all of it cost.

        Raises:
            UpstreamBroken: it is no event of a response, or it is the provider's error.
        """
        if self._last is not None or event.data.strip() == _DONE_DATA:
            return b""
        body = reply_object(event.data)
        if body is None:
            raise UpstreamBroken
        kind = body.get("type", event.event)
        self._learn_from(body)
        if not isinstance(kind, str) or kind in _FAILURES:
            raise UpstreamBroken
        self._count(kind, body)
        shown = self._shown(body, kind)
        if kind not in _ENDS:
            return _event(shown)
        self._last = shown
        return b""

    def measured(self) -> Measured:
        """The provider's count, else our own of what was passed on."""

        def own_count() -> Quantities:
            return self._own_count(max((tally.tokens for tally in self._tellings.values()), default=0))

        return counted_text(self._usage, own_count)

    def closing(self, receipt: Receipt) -> bytes:
        """The event with the whole response, with its cost beside its usage; one of ours if the provider sent none."""
        last = self._last or self._own_end("response.completed", "completed", reason=None)
        return _event(self._with_cost(last, receipt))

    def stopped(self, refusal: BillingError, receipt: Receipt) -> bytes:
        """The response as incomplete, with the reason and what it cost."""
        last = self._own_end("response.incomplete", "incomplete", reason=refusal.code)
        return _event(self._with_cost(last, receipt, stopped=why_refused(refusal)))

    def broken(self, error: BillingError) -> bytes:
        """An error event of this route, which the official client raises because of its `error` member."""
        told = openai_error(error)["error"]
        return _event({**told, "type": "error", "error": told, "sequence_number": self._sequence_number + 1})

    def _learn_from(self, body: dict[str, Any]) -> None:
        number = body.get("sequence_number")
        if isinstance(number, int) and not isinstance(number, bool):
            self._sequence_number = number
        response = body.get("response")
        if not isinstance(response, dict):
            return
        self._response = response
        told = response.get("model")
        if isinstance(told, str) and told:
            self.model_used = told
        if response.get("usage") is not None:
            self._usage = response["usage"]

    def _count(self, kind: str, body: dict[str, Any]) -> None:
        """Text that comes after a usage report shows that the report was not the last word."""
        if kind in _ENDS:
            told: object = self._response.get("output")
        elif kind.endswith(".delta"):
            told = body.get("delta")
        elif kind.endswith(".done"):
            told = body
        else:
            return
        telling = _PIECES if kind.endswith(".delta") else _telling_of(kind)
        for text in written_in(told):
            if text:
                self._tellings[telling].add(text)
                self.has_delivered = True
                if kind not in _ENDS:
                    self._usage = None

    def _shown(self, body: dict[str, Any], kind: str) -> dict[str, Any]:
        shown = {**body, "type": kind}
        response = body.get("response")
        if isinstance(response, dict) and "model" in response:
            shown["response"] = {**response, "model": self._public_model}
        return shown

    def _own_end(self, kind: str, status: str, *, reason: str | None) -> dict[str, Any]:
        """An end of ours: all that is known of the response, without a word that was not passed on."""
        response = {
            **self._response,
            "object": "response",
            "model": self._public_model,
            "status": status,
            "incomplete_details": None if reason is None else {"reason": reason},
        }
        return {"type": kind, "sequence_number": self._sequence_number + 1, "response": {"output": [], **response}}

    def _with_cost(self, last: dict[str, Any], receipt: Receipt, **more: object) -> dict[str, Any]:
        response = last.get("response")
        told = response if isinstance(response, dict) else {}
        measured = self.measured()
        usage = told.get("usage") if measured.estimate_reason is None else None
        return {
            **last,
            "response": {
                **told,
                "usage": usage or usage_view(measured.quantities),
                "billing": {**receipt.to_json(), **more},
            },
        }


def written_in(told: object) -> Iterator[str]:
    """Every text that the model wrote in it: words, refusals, thoughts that are shown, what tools are called with."""
    return texts(told, without=_NOT_WRITTEN)


def usage_view(quantities: Quantities) -> dict[str, Any]:
    """These quantities under OpenAI's names for responses."""
    went_in, came_out = tokens_in(quantities), tokens_out(quantities)
    return {
        "input_tokens": went_in,
        "input_tokens_details": {"cached_tokens": quantities.get(Unit.CACHED_INPUT, 0)},
        "output_tokens": came_out,
        "output_tokens_details": {"reasoning_tokens": quantities.get(Unit.REASONING, 0)},
        "total_tokens": went_in + came_out,
    }


def _telling_of(kind: str) -> str:
    """Whole texts of all kinds are one telling; parts, items and the response each repeat them."""
    again = ("response.content_part.done", "response.reasoning_summary_part.done", "response.output_item.done")
    if kind in _ENDS:
        return "response"
    if kind not in again:
        return "texts"
    return "items" if kind == again[-1] else "parts"


def _event(body: dict[str, Any]) -> bytes:
    return f"event: {body['type']}\n".encode() + b"data: " + rendered_reply(body) + b"\n\n"

"""Reads requests for embeddings: charged by the tokens of the texts, in whatever encoding the numbers come back.

Source of the members: OpenAI's API reference, "Create embeddings".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateway.errors import StreamUnsupported, UpstreamBroken
from billing.gateway.rules.doors import Door
from billing.gateway.rules.json_fields import flag_of, name_of, rendered_request, request_object
from billing.gateway.rules.metering import TOKENS_MAX, Measured, is_count
from billing.gateway.rules.paid_request import Delivery, Incoming, Outgoing, QuoteBounds
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.text_inputs import TextInputs, read_texts
from billing.gateway.rules.whole_answers import WholeAnswer, answered_list, answered_object, json_delivery
from billing.pricing.rules import Quantities, RateSnapshot, Unit
from billing.quotas.rules import Amounts
from billing.usage.rules import EstimateReason

_USAGE_NAMES = ("prompt_tokens", "input_tokens", "total_tokens")


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest(WholeAnswer):
    """Texts to be turned into numbers; what goes in is all that counts."""

    model: str
    fields: Mapping[str, Any]
    texts: TextInputs
    door: Door = Door.EMBEDDINGS

    def bounds(self, rates: RateSnapshot) -> Quantities:
        """The most tokens that the texts can be, whatever the rates."""
        del rates
        return _quantities(self.texts.tokens_bound)

    @property
    def free_bounds(self) -> Amounts:
        """Free quotas count them as tokens that go in."""
        return Amounts(self.texts.tokens_bound)

    def for_upstream(self, upstream_model: str) -> Outgoing:
        """The same request under the provider's name for the model."""
        return Outgoing(rendered_request({**self.fields, "model": upstream_model}))

    def read(self, reply: UpstreamReply, *, public_model: str, upstream_model: str) -> Delivery:
        """The answer, if there are embeddings in it, as lists of numbers or in base64.

        Raises:
            UpstreamBroken: there are none, so nothing was delivered.
        """
        body = answered_object(reply)
        if not all(item.get("embedding") for item in answered_list(body, "data")):
            raise UpstreamBroken
        return json_delivery(body, public_model=public_model, upstream_model=upstream_model)

    def measure(self, delivery: Delivery, rates: RateSnapshot) -> Measured:
        """The provider's count, or our own of the texts."""
        del rates
        assert delivery.body is not None, "an answer with embeddings is an object"
        counted = _told_tokens(delivery.body.get("usage"))
        if isinstance(counted, EstimateReason):
            return Measured(_quantities(self.texts.tokens_typical), Amounts(self.texts.tokens_typical), counted)
        return Measured(_quantities(counted), Amounts(counted), None)


def read_embeddings_request(incoming: Incoming, bounds: QuoteBounds) -> EmbeddingsRequest:
    """A request for embeddings.

    Raises:
        InvalidInput: a member that counts for the price is malformed; `field` names it.
        StreamUnsupported: it asks for a stream.
    """
    del bounds  # the texts themselves are the bound
    fields = request_object(incoming.content)
    if flag_of(fields, "stream"):
        raise StreamUnsupported
    return EmbeddingsRequest(model=name_of(fields), fields=fields, texts=read_texts(fields, "input"))


def _quantities(tokens: int) -> Quantities:
    return {Unit.EMBEDDING: tokens, Unit.REQUEST: 1}


def _told_tokens(usage: object) -> int | EstimateReason:
    if usage is None or usage == {}:
        return EstimateReason.USAGE_MISSING
    if not isinstance(usage, dict):
        return EstimateReason.USAGE_INVALID
    told = next((usage[name] for name in _USAGE_NAMES if usage.get(name) is not None), None)
    if told is None:
        return EstimateReason.USAGE_MISSING
    return told if is_count(told, TOKENS_MAX) else EstimateReason.USAGE_INVALID

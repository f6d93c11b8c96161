"""Reads requests to speak a text: charged by the characters that the voice reads, whatever the recording sounds like.

Source of the members: OpenAI's API reference, "Create speech".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateway.errors import StreamUnsupported, UpstreamBroken
from billing.gateway.rules.doors import Door
from billing.gateway.rules.json_fields import flag_of, name_of, rendered_request, request_object
from billing.gateway.rules.metering import Measured
from billing.gateway.rules.paid_request import Delivery, Incoming, Outgoing, QuoteBounds
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.whole_answers import WholeAnswer
from billing.kit.errors import InvalidInput
from billing.pricing.rules import Quantities, RateSnapshot, Unit
from billing.quotas.rules import Amounts

CHARACTERS_PER_FREE_SECOND = 15
"""Free quotas count seconds of speech: one for so many characters, about 150 words of English a minute."""

_OK = 200
_CHARACTERS_MAX = 100_000
_BYTES = "application/octet-stream"
_SOUND = re.compile(r"(audio/[a-z0-9.+-]{1,60}|application/octet-stream)(; ?[a-z]{1,20}=[a-z0-9]{1,20}){0,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SpeechRequest(WholeAnswer):
    """A text to speak; what it costs is known before it is spoken."""

    model: str
    fields: Mapping[str, Any]
    characters: int
    door: Door = Door.SPEECH

    def bounds(self, rates: RateSnapshot) -> Quantities:
        """The characters of the text and of how to speak it, each code point one, whatever the rates."""
        del rates
        return {Unit.SPEECH_CHARACTERS: self.characters, Unit.REQUEST: 1}

    @property
    def free_bounds(self) -> Amounts:
        """The seconds that such a text takes, by rule: nobody can slow the voice down to change them."""
        return Amounts(speech_seconds=-(-self.characters // CHARACTERS_PER_FREE_SECOND))

    def for_upstream(self, upstream_model: str) -> Outgoing:
        """The same request under the provider's name for the model."""
        return Outgoing(rendered_request({**self.fields, "model": upstream_model}))

    def read(self, reply: UpstreamReply, *, public_model: str, upstream_model: str) -> Delivery:
        """The recording.

        Raises:
            UpstreamBroken: there is no sound in the answer, so nothing was delivered.
        """
        del public_model  # a recording names no model
        told = reply.content_type.strip().lower() or _BYTES
        if reply.status != _OK or not reply.body or _SOUND.fullmatch(told) is None:
            raise UpstreamBroken
        return Delivery(reply.body, told, None, upstream_model)

    def measure(self, delivery: Delivery, rates: RateSnapshot) -> Measured:
        """The characters of the text that was spoken, whatever it sounds like."""
        del delivery
        return Measured(quantities=self.bounds(rates), free=self.free_bounds, estimate_reason=None)


def read_speech_request(incoming: Incoming, bounds: QuoteBounds) -> SpeechRequest:
    """A request to speak a text.

    Raises:
        InvalidInput: a member that counts for the price is malformed; `field` names it.
        StreamUnsupported: it asks for events instead of a recording.
    """
    del bounds  # the text itself is the bound
    fields = request_object(incoming.content)
    if fields.get("stream_format", "audio") != "audio" or flag_of(fields, "stream"):
        raise StreamUnsupported
    text = fields.get("input")
    if not (isinstance(text, str) and 1 <= len(text) <= _CHARACTERS_MAX):
        raise InvalidInput("input", f"`input` is a text of 1 to {_CHARACTERS_MAX} characters.")
    # A voice that is told how to speak reads what it is told, and can be told to speak something else.
    told = fields.get("instructions")
    if not (told is None or (isinstance(told, str) and len(told) <= _CHARACTERS_MAX)):
        raise InvalidInput("instructions", f"`instructions` is a text of at most {_CHARACTERS_MAX} characters.")
    return SpeechRequest(model=name_of(fields), fields=fields, characters=len(text) + len(told or ""))

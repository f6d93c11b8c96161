"""Reads requests to write down a recording: charged by its length, to the millisecond.

Source of the members: OpenAI's API reference, "Create transcription".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateway.errors import StreamUnsupported, UpstreamBroken
from billing.gateway.rules.audio_length import LENGTH_MAX_MS, length_bound_ms, length_of_recording_ms, milliseconds_of
from billing.gateway.rules.doors import Door
from billing.gateway.rules.json_fields import name_of
from billing.gateway.rules.metering import Measured
from billing.gateway.rules.multipart import Form, read_form, write_form
from billing.gateway.rules.paid_request import Delivery, Incoming, Outgoing, QuoteBounds
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.whole_answers import WholeAnswer, answered_object, json_delivery
from billing.kit.errors import InvalidInput
from billing.pricing.rules import Quantities, RateSnapshot, Unit
from billing.quotas.rules import Amounts
from billing.usage.rules import EstimateReason

_OK = 200
_MS_PER_SECOND = 1000
_USAGE_NAMES = ("seconds", "duration_seconds", "duration")
_AS_JSON = frozenset({"json", "verbose_json", "diarized_json"})
_AS_TEXT = {
    "text": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
_CHARACTERS_PER_SECOND_MAX = 40  # about 450 words of English a minute: nobody speaks faster
_PAGES = ("text/html", "application/xhtml")
# The end of a line of subtitles, in SRT with a comma and in WebVTT with a point.
_CUE_END = re.compile(r"--> +(?:([0-9]{1,3}):)?([0-9]{2}):([0-9]{2})[.,]([0-9]{3})", re.ASCII)
_MEMBERS = frozenset(
    {
        "chunking_strategy",
        "file",
        "include",
        "known_speaker_names",
        "known_speaker_references",
        "language",
        "model",
        "prompt",
        "response_format",
        "stream",
        "temperature",
        "timestamp_granularities",
    }
)


@dataclass(frozen=True, slots=True)
class TranscriptionRequest(WholeAnswer):
    """A recording to write down, with its length as we read it, or as long as its bytes allow."""

    model: str
    form: Form
    milliseconds: int
    response_format: str
    door: Door = Door.TRANSCRIPTIONS

    def bounds(self, rates: RateSnapshot) -> Quantities:
        """The whole recording, whatever the rates."""
        del rates
        return _quantities(self.milliseconds)

    @property
    def free_bounds(self) -> Amounts:
        """The whole recording, in seconds that have begun."""
        return _free(self.milliseconds)

    def for_upstream(self, upstream_model: str) -> Outgoing:
        """The same form under the provider's name for the model."""
        return Outgoing(*write_form(self.form.with_text("model", upstream_model)))

    def read(self, reply: UpstreamReply, *, public_model: str, upstream_model: str) -> Delivery:
        """What was written down, in the format that was asked for; silence has no words, and is an answer too.

        Raises:
            UpstreamBroken: it is in another format.
        """
        if self.response_format in _AS_JSON:
            body = answered_object(reply)
            if not isinstance(body.get("text"), str):
                raise UpstreamBroken
            return json_delivery(body, public_model=public_model, upstream_model=upstream_model)
        if reply.status != _OK or reply.content_type.strip().lower().startswith(_PAGES) or not _is_text(reply.body):
            raise UpstreamBroken
        return Delivery(reply.body, _AS_TEXT[self.response_format], None, upstream_model)

    def measure(self, delivery: Delivery, rates: RateSnapshot) -> Measured:
        """The provider's length of the recording where it names one, else our own.

        Subtitles name the moments of their words, and words take time to be spoken: the recording is at least so long,
        whatever its file claims.
        """
        del rates
        told = _provider_length(delivery.body or {})
        if isinstance(told, EstimateReason):
            milliseconds = max(self.milliseconds, self._spoken_ms(delivery))
            return Measured(_quantities(milliseconds), _free(milliseconds), told)
        return Measured(_quantities(told), _free(told), None)

    def _spoken_ms(self, delivery: Delivery) -> int:
        """How long what was written down takes at least."""
        if self.response_format in {"srt", "vtt"}:
            return _last_moment_ms(delivery.content)
        words = delivery.content.decode() if delivery.body is None else delivery.body["text"]
        return min(LENGTH_MAX_MS, len(words) * _MS_PER_SECOND // _CHARACTERS_PER_SECOND_MAX)


def read_transcription_request(incoming: Incoming, bounds: QuoteBounds) -> TranscriptionRequest:
    """A request to write down the recording in a form.

    Raises:
        InvalidInput: the form or a member of it is malformed; `field` names it.
        StreamUnsupported: it asks for a stream.
    """
    del bounds  # the recording itself is the bound
    form = read_form(incoming.content, incoming.content_type)
    form.require_only(_MEMBERS)
    if form.is_true("stream"):
        raise StreamUnsupported
    recordings = form.files("file")
    if len(recordings) != 1:
        raise InvalidInput("file", "`file` is one recording.")
    response_format = form.text("response_format") or "json"
    if response_format not in {*_AS_JSON, *_AS_TEXT}:
        raise InvalidInput("response_format", "`response_format` is json, verbose_json, text, srt or vtt.")
    content = recordings[0].content
    return TranscriptionRequest(
        model=name_of({"model": form.text("model")}),
        form=form,
        milliseconds=length_of_recording_ms(content) or length_bound_ms(content),
        response_format=response_format,
    )


def _quantities(milliseconds: int) -> Quantities:
    return {Unit.TRANSCRIPTION_MS: milliseconds, Unit.REQUEST: 1}


def _free(milliseconds: int) -> Amounts:
    return Amounts(transcription_seconds=-(-milliseconds // _MS_PER_SECOND))


def _provider_length(body: Mapping[str, Any]) -> int | EstimateReason:
    """What the provider bills comes before what it says in passing."""
    usage = body.get("usage")
    billed = [usage.get(name) for name in _USAGE_NAMES] if isinstance(usage, dict) else []
    told = [*billed, body.get("duration")]
    named = [value for value in told if value is not None]
    sane = [length for length in map(_length_of, named) if length is not None]
    if sane:
        return sane[0]
    return EstimateReason.USAGE_INVALID if named else EstimateReason.USAGE_MISSING


def _length_of(value: object) -> int | None:
    """Some providers write their number as a text."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,20})?", value, re.ASCII):
        value = float(value)
    return milliseconds_of(value)


def _is_text(body: bytes) -> bool:
    try:
        return bool(body.decode())
    except UnicodeDecodeError:
        return False


def _last_moment_ms(content: bytes) -> int:
    ends = [
        ((int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)) * _MS_PER_SECOND + int(milliseconds)
        for hours, minutes, seconds, milliseconds in _CUE_END.findall(content.decode())
    ]
    return max(ends, default=0)

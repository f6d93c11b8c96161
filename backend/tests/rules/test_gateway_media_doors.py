"""Pictures, speech and transcriptions: priced by what was made, by the text, by the length of the recording."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.pricing import snapshot
from billing.gateway.errors import StreamUnsupported, UpstreamBroken
from billing.gateway.rules.audio_length import length_bound_ms
from billing.gateway.rules.image_requests import ImageRequest, read_image_edit_request, read_image_request
from billing.gateway.rules.metering import Measured
from billing.gateway.rules.multipart import Form, Part, read_form, write_form
from billing.gateway.rules.paid_request import Delivery, Incoming, PaidRequest, QuoteBounds
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.speech_request import SpeechRequest, read_speech_request
from billing.gateway.rules.transcription_request import TranscriptionRequest, read_transcription_request
from billing.kit.errors import InvalidInput
from billing.pricing.rules import Unit
from billing.quotas.rules import Amounts
from billing.usage.rules import EstimateReason
from testkit.simulators.model.audio import wav
from testkit.simulators.model.images import png

BOUNDS = QuoteBounds(output_tokens_default=1000, image_tokens_max=5000, choices_max=4, image_side_max=2048)
PIXELS = snapshot({Unit.IMAGE_PIXELS: 1})
CLASSES = snapshot({Unit.IMAGE_SMALL: 1, Unit.IMAGE_MEDIUM: 2, Unit.IMAGE_LARGE: 3})
SPEECH = snapshot({Unit.SPEECH_CHARACTERS: 1})
SECONDS = snapshot({Unit.TRANSCRIPTION_MS: 1})


def images(**fields: Any) -> ImageRequest:
    """A request for a picture, unless told otherwise."""
    content = json.dumps({"model": "m", "prompt": "a ledger", **fields}).encode()
    return read_image_request(Incoming(content), BOUNDS)


def form(**texts: str) -> Form:
    """A form of texts."""
    return Form(tuple(Part(name, text.encode()) for name, text in texts.items()))


def edit(*files: Part, **texts: str) -> ImageRequest:
    """A request to change a picture, unless told otherwise."""
    picture = files or (Part("image", png(64, 64), "picture.png", "image/png"),)
    parts = Form((*form(model="m", prompt="more blue").parts, *picture))
    for name, text in texts.items():
        parts = parts.with_text(name, text)
    return read_image_edit_request(Incoming(*write_form(parts)), BOUNDS)


def speech(**fields: Any) -> SpeechRequest:
    """A request to speak, unless told otherwise."""
    content = json.dumps({"model": "m", "input": "Hello.", "voice": "alloy", **fields}).encode()
    return read_speech_request(Incoming(content), BOUNDS)


def transcription(sound: bytes | None = None, *, parts: tuple[Part, ...] = (), **texts: str) -> TranscriptionRequest:
    """A request to write down a second and a half, unless told otherwise."""
    recording = Part("file", wav(1500) if sound is None else sound, "talk.wav", "audio/wav")
    asked = Form((*form(**{"model": "m", **texts}).parts, *(parts or (recording,))))
    return read_transcription_request(Incoming(*write_form(asked)), BOUNDS)


def b64(width: int, height: int) -> dict[str, str]:
    """A picture of this size as a provider sends it."""
    return {"b64_json": base64.b64encode(png(width, height)).decode()}


def answered(request: PaidRequest, body: object, content_type: str = "application/json") -> Delivery:
    """The provider's answer as it is delivered."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = UpstreamReply(200, content, content_type)
    return request.read(reply, public_model="public", upstream_model="theirs")


def made(request: ImageRequest, *pictures: dict[str, str], **more: Any) -> Measured:
    """What was made, priced by the pixel."""
    return request.measure(answered(request, {"data": list(pictures), **more}), PIXELS)


class TestTheBoundOfPictures:
    @pytest.mark.parametrize(
        ("fields", "pixels"),
        [
            ({"size": "512x256"}, 512 * 256),
            ({"size": "512x256", "n": 3}, 3 * 512 * 256),
            ({"size": "auto"}, 2048 * 2048),
            ({"n": 2}, 2 * 2048 * 2048),
            ({"size": None, "n": None}, 2048 * 2048),
        ],
    )
    def test_is_the_size_that_is_asked_for_or_the_largest_one(self, fields: dict[str, Any], pixels: int) -> None:
        assert images(**fields).bounds(PIXELS) == {Unit.IMAGE_PIXELS: pixels, Unit.REQUEST: 1}

    def test_counts_by_class_where_classes_are_priced(self) -> None:
        assert images(size="1024x768", n=2).bounds(CLASSES) == {Unit.IMAGE_MEDIUM: 2, Unit.REQUEST: 1}

    def test_is_the_same_for_pictures_that_are_changed(self) -> None:
        assert edit(n="2", size="256x256").bounds(PIXELS) == {Unit.IMAGE_PIXELS: 2 * 256 * 256, Unit.REQUEST: 1}
        assert edit(n="2").free_bounds == Amounts(images=2)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"n": 0}, "n"),
            ({"n": 5}, "n"),
            ({"n": "2"}, "n"),
            ({"n": 1.5}, "n"),
            ({"size": "big"}, "size"),
            ({"size": "-5x5"}, "size"),
            ({"size": "4096x16"}, "size"),
            ({"size": 1024}, "size"),
            ({"prompt": ""}, "prompt"),
            ({"prompt": None}, "prompt"),
            ({"model": ""}, "model"),
            ({"stream": "yes"}, "stream"),
        ],
    )
    def test_is_not_given_to_what_makes_no_sense(self, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            images(**fields)

        assert refusal.value.field == named

    @pytest.mark.parametrize(
        ("files", "texts", "named"),
        [
            ((Part("mask", b"x", "m.png"),), {}, "image"),
            (tuple(Part("image[]", b"x", "i.png") for _ in range(17)), {}, "image"),
            ((Part("image", b"text"),), {}, "image"),
            ((), {"n": "five"}, "n"),
            ((), {"n": "5"}, "n"),
            ((), {"size": "9x"}, "size"),
            ((), {"prompt": ""}, "prompt"),
            ((), {"image_url": "https://elsewhere.example/"}, "image_url"),
        ],
    )
    def test_is_not_given_to_forms_that_make_no_sense(
        self, files: tuple[Part, ...], texts: dict[str, str], named: str
    ) -> None:
        with pytest.raises(InvalidInput) as refusal:
            edit(*files, **texts)

        assert refusal.value.field == named

    def test_is_not_given_to_a_form_that_names_two_models(self) -> None:
        content, content_type = write_form(form(model="cheap", prompt="x"))
        smuggled = content.replace(b'name="prompt"', b'name="model"')

        with pytest.raises(InvalidInput) as refusal:
            read_image_edit_request(Incoming(smuggled, content_type), BOUNDS)

        assert refusal.value.field == "model"


class TestWhatPicturesCost:
    def test_is_what_was_made_and_not_what_was_asked_for(self) -> None:
        used = made(images(n=2, size="256x256"), b64(1024, 1024))

        assert used == Measured({Unit.IMAGE_PIXELS: 1024 * 1024, Unit.REQUEST: 1}, Amounts(images=1), None)

    def test_is_the_sum_of_all_whatever_their_sizes(self) -> None:
        used = made(images(n=2), b64(100, 10), b64(20, 30), {"b64_json": ""}, size="2048x2048")

        assert used.quantities[Unit.IMAGE_PIXELS] == 1600
        assert used.free == Amounts(images=2)

    def test_of_a_picture_behind_an_address_is_its_size_as_the_provider_tells_it(self) -> None:
        url = {"url": "https://files.example/1.png"}

        each = made(images(size="256x256"), {**url, "size": "64x32"}, size="512x512")
        all_alike = made(images(size="256x256"), url, size="512x512")

        assert (each.quantities[Unit.IMAGE_PIXELS], each.estimate_reason) == (64 * 32, None)
        assert (all_alike.quantities[Unit.IMAGE_PIXELS], all_alike.estimate_reason) == (512 * 512, None)

    @pytest.mark.parametrize(("asked", "pixels"), [("256x256", 256 * 256), ("auto", 1024 * 1024)])
    @pytest.mark.parametrize("told", [None, "auto", "huge", -1, "99999x99999"])
    def test_of_a_picture_that_nobody_measures_is_an_estimate(self, told: object, asked: str, pixels: int) -> None:
        used = made(images(size=asked), {"url": "https://files.example/1.png"}, size=told)

        assert used.quantities[Unit.IMAGE_PIXELS] == pixels
        assert used.estimate_reason is EstimateReason.USAGE_MISSING

    def test_of_a_picture_in_its_own_address_is_its_own_size(self) -> None:
        used = made(images(), {"url": "data:image/png;base64," + b64(40, 30)["b64_json"]})

        assert (used.quantities[Unit.IMAGE_PIXELS], used.estimate_reason) == (1200, None)

    def test_of_bytes_that_are_no_picture_is_an_estimate(self) -> None:
        used = made(images(size="256x256"), {"b64_json": "AAAA"})

        assert (used.quantities[Unit.IMAGE_PIXELS], used.estimate_reason) == (65_536, EstimateReason.USAGE_MISSING)

    @given(sides=st.lists(st.tuples(st.integers(1, 2048), st.integers(1, 2048)), min_size=1, max_size=4))
    def test_is_never_above_the_bound_while_the_provider_keeps_to_the_largest_size(
        self, sides: list[tuple[int, int]]
    ) -> None:
        request = images(n=len(sides))

        used = made(request, *({"url": "u", "size": f"{width}x{height}"} for width, height in sides))

        assert used.quantities[Unit.IMAGE_PIXELS] <= request.bounds(PIXELS)[Unit.IMAGE_PIXELS]

    @pytest.mark.parametrize(
        "body", [{}, {"data": []}, {"data": [{}]}, {"data": [{"url": ""}]}, {"data": [3]}, b"", b"<p>"]
    )
    def test_is_nothing_where_no_picture_came(self, body: object) -> None:
        with pytest.raises(UpstreamBroken):
            answered(images(), body)


class TestWhatTheProviderGets:
    def test_of_a_request_for_pictures_is_what_the_client_sent(self) -> None:
        sent = json.loads(images(quality="high").for_upstream("theirs").content)

        assert sent == {"model": "theirs", "prompt": "a ledger", "quality": "high"}

    @pytest.mark.parametrize("request_", [edit(), transcription()])
    def test_of_a_form_is_the_same_form_with_one_model(self, request_: PaidRequest) -> None:
        outgoing = request_.for_upstream("theirs")

        sent = read_form(outgoing.content, outgoing.content_type)

        assert sent.text("model") == "theirs"
        assert outgoing.content.count(b'name="model"') == 1
        assert next(part.content for part in sent.parts if part.is_file) in {png(64, 64), wav(1500)}

    def test_of_a_request_to_speak_is_what_the_client_sent(self) -> None:
        sent = json.loads(speech(speed=2).for_upstream("theirs").content)

        assert sent == {"model": "theirs", "input": "Hello.", "voice": "alloy", "speed": 2}


class TestSpeech:
    @pytest.mark.parametrize(
        ("text", "characters", "seconds"), [("a", 1, 1), ("x" * 15, 15, 1), ("x" * 16, 16, 2), ("Привет 🤖", 8, 1)]
    )
    def test_costs_the_characters_of_its_text_and_free_seconds_by_rule(
        self, text: str, characters: int, seconds: int
    ) -> None:
        request = speech(input=text)

        used = request.measure(answered(request, b"sound", "audio/mpeg"), SPEECH)

        assert used == Measured(
            {Unit.SPEECH_CHARACTERS: characters, Unit.REQUEST: 1}, Amounts(speech_seconds=seconds), None
        )
        assert (request.bounds(SPEECH), request.free_bounds) == (used.quantities, used.free)

    def test_costs_what_the_voice_is_told_beside_its_text_too(self) -> None:
        told = speech(input=".", instructions="x" * 999)

        assert told.bounds(SPEECH)[Unit.SPEECH_CHARACTERS] == 1000
        assert speech(input=".", instructions=None).bounds(SPEECH)[Unit.SPEECH_CHARACTERS] == 1

    @pytest.mark.parametrize("told", [5, ["x"], "x" * 100_001])
    def test_is_told_in_a_text_only(self, told: object) -> None:
        with pytest.raises(InvalidInput):
            speech(instructions=told)

    @pytest.mark.parametrize(
        "content_type", ["audio/mpeg", "audio/pcm;rate=24000", "AUDIO/WAV", "application/octet-stream"]
    )
    def test_is_delivered_as_the_sound_that_came(self, content_type: str) -> None:
        got = answered(speech(), b"\x00sound", content_type)

        assert (got.content, got.content_type, got.body) == (b"\x00sound", content_type.lower(), None)
        assert got.model_used == "theirs"

    def test_of_unknown_kind_is_delivered_as_bytes(self) -> None:
        assert answered(speech(), b"sound", "").content_type == "application/octet-stream"

    @pytest.mark.parametrize(
        ("content", "content_type"),
        [(b"", "audio/mpeg"), (b"{}", "application/json"), (b"<p>", "text/html"), (b"x", "audio/x\r\nSet-Cookie: a")],
    )
    def test_that_is_no_sound_is_broken(self, content: bytes, content_type: str) -> None:
        with pytest.raises(UpstreamBroken):
            answered(speech(), content, content_type)

    @pytest.mark.parametrize("text", [None, "", 5, ["a"], "x" * 100_001])
    def test_needs_a_text(self, text: object) -> None:
        with pytest.raises(InvalidInput) as refusal:
            speech(input=text)

        assert refusal.value.field == "input"

    @pytest.mark.parametrize("fields", [{"stream_format": "sse"}, {"stream": True}, {"stream_format": ["audio"]}])
    def test_in_events_is_refused_by_name(self, fields: dict[str, Any]) -> None:
        with pytest.raises(StreamUnsupported):
            speech(**fields)


class TestTheLengthOfATranscription:
    def test_is_what_the_recording_says_before_the_call(self) -> None:
        request = transcription(wav(61_500))

        assert request.bounds(SECONDS) == {Unit.TRANSCRIPTION_MS: 61_500, Unit.REQUEST: 1}
        assert request.free_bounds == Amounts(transcription_seconds=62)

    def test_is_what_the_bytes_allow_where_the_recording_says_nothing(self) -> None:
        sound = b"no known format" * 100

        assert transcription(sound).milliseconds == length_bound_ms(sound) == 2000

    @pytest.mark.parametrize(
        ("told", "milliseconds"),
        [
            ({"duration": 2.25}, 2250),
            ({"duration": "2.25"}, 2250),
            ({"usage": {"type": "duration", "seconds": 3}, "duration": 2.25}, 3000),
            ({"usage": {"type": "duration", "duration_seconds": 3}}, 3000),
            ({"usage": {"type": "duration", "seconds": 0}}, 0),
            ({"usage": {"seconds": -1}, "duration": 2}, 2000),
        ],
    )
    def test_is_what_the_provider_bills_or_says_after_it(self, told: dict[str, Any], milliseconds: int) -> None:
        request = transcription()

        used = request.measure(answered(request, {"text": "words", **told}), SECONDS)

        assert (used.quantities[Unit.TRANSCRIPTION_MS], used.estimate_reason) == (milliseconds, None)

    @pytest.mark.parametrize(
        ("told", "reason"),
        [
            ({}, EstimateReason.USAGE_MISSING),
            ({"usage": None, "duration": None}, EstimateReason.USAGE_MISSING),
            ({"usage": {"type": "tokens", "input_tokens": 14}}, EstimateReason.USAGE_MISSING),
            ({"usage": {"seconds": -1}}, EstimateReason.USAGE_INVALID),
            ({"duration": True}, EstimateReason.USAGE_INVALID),
            ({"duration": 10**9}, EstimateReason.USAGE_INVALID),
            ({"duration": "long"}, EstimateReason.USAGE_INVALID),
        ],
    )
    def test_is_our_own_where_the_provider_tells_none(self, told: dict[str, Any], reason: EstimateReason) -> None:
        request = transcription()

        used = request.measure(answered(request, {"text": "words", **told}), SECONDS)

        assert used == Measured(
            {Unit.TRANSCRIPTION_MS: 1500, Unit.REQUEST: 1}, Amounts(transcription_seconds=2), reason
        )

    @pytest.mark.parametrize("response_format", ["json", "text"])
    def test_is_at_least_as_long_as_its_words_take(self, response_format: str) -> None:
        request = transcription(response_format=response_format)
        words = "word " * 1600
        body: object = {"text": words} if response_format == "json" else words.encode()

        delivery = answered(request, body, "application/json" if response_format == "json" else "text/plain")
        used = request.measure(delivery, SECONDS)

        assert used.quantities[Unit.TRANSCRIPTION_MS] == 200_000
        assert used.estimate_reason is EstimateReason.USAGE_MISSING

    @pytest.mark.parametrize(
        ("response_format", "subtitles"),
        [
            ("srt", "1\n00:00:00,000 --> 00:01:02,500\nwords\n"),
            ("vtt", "WEBVTT\n\n00:30.000 --> 01:02.500\nwords\n"),
        ],
    )
    def test_is_at_least_the_last_moment_of_the_subtitles(self, response_format: str, subtitles: str) -> None:
        request = transcription(response_format=response_format)

        delivery = answered(request, subtitles.encode(), "text/plain")
        used = request.measure(delivery, SECONDS)

        assert delivery.content == subtitles.encode()
        assert used.quantities[Unit.TRANSCRIPTION_MS] == 62_500
        assert used.estimate_reason is EstimateReason.USAGE_MISSING

    def test_of_plain_text_is_that_of_the_recording(self) -> None:
        request = transcription(response_format="text")

        used = request.measure(answered(request, b"words\n", "text/plain"), SECONDS)

        assert used.quantities[Unit.TRANSCRIPTION_MS] == 1500


class TestATranscription:
    def test_of_silence_has_no_words_and_is_an_answer(self) -> None:
        assert answered(transcription(), {"text": ""}).body == {"text": ""}

    @pytest.mark.parametrize(
        ("response_format", "body"), [("json", {}), ("verbose_json", {"text": 3}), ("json", b"words")]
    )
    def test_in_another_format_is_broken(self, response_format: str, body: object) -> None:
        with pytest.raises(UpstreamBroken):
            answered(transcription(response_format=response_format), body)

    @pytest.mark.parametrize(
        ("content", "content_type"),
        [(b"", "text/plain"), (b"\xff\xfe", "text/plain"), (b"<p>", "Text/HTML; charset=x")],
    )
    def test_in_text_that_is_none_is_broken(self, content: bytes, content_type: str) -> None:
        with pytest.raises(UpstreamBroken):
            answered(transcription(response_format="text"), content, content_type)

    @pytest.mark.parametrize(
        ("parts", "texts", "named"),
        [
            ((Part("prompt", b"x"),), {}, "file"),
            ((Part("file", b"text"),), {}, "file"),
            ((Part("file[]", b"x", "a.wav"), Part("file[]", b"x", "b.wav")), {}, "file"),
            ((), {"response_format": "html"}, "response_format"),
            ((), {"stream": "maybe"}, "stream"),
            ((), {"url": "https://elsewhere.example/long.mp3"}, "url"),
            ((), {"model": ""}, "model"),
        ],
    )
    def test_of_a_form_that_makes_no_sense_is_refused(
        self, parts: tuple[Part, ...], texts: dict[str, str], named: str
    ) -> None:
        with pytest.raises(InvalidInput) as refusal:
            transcription(None, parts=parts, **texts)

        assert refusal.value.field == named


class TestAStream:
    def test_of_pictures_or_transcriptions_is_refused_by_name(self) -> None:
        for ask in (lambda: images(stream=True), lambda: edit(stream="true"), lambda: transcription(stream="true")):
            with pytest.raises(StreamUnsupported):
                ask()

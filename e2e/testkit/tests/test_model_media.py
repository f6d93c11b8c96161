"""The official `openai` client gets vectors, pictures, sounds and transcripts from the simulated model unchanged."""

import base64
import io
import struct
import wave

import httpx
import openai
import pytest

from testkit.simulators.faults import Fault, FaultKind, Produced, UsageVariant
from testkit.simulators.model.audio import seconds_of, wav
from testkit.simulators.model.images import png
from testkit.simulators.remote import ModelRemote

PNG = ("picture.png", png(8, 8), "image/png")


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height as a PNG's header has them."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


class TestEmbeddings:
    def test_each_input_gets_its_vector(self, client: openai.OpenAI) -> None:
        answer = client.embeddings.create(model="gpt-4o-mini", input=["balance", "ledger entry"], dimensions=5)

        assert [len(item.embedding) for item in answer.data] == [5, 5]
        assert answer.data[0].embedding != answer.data[1].embedding
        assert answer.usage.prompt_tokens == answer.usage.total_tokens == 6

    def test_both_encodings_say_the_same(self, client: openai.OpenAI) -> None:
        plain = client.embeddings.create(model="gpt-4o-mini", input="balance", encoding_format="float")

        assert client.embeddings.create(model="gpt-4o-mini", input="balance").data == plain.data

    async def test_the_async_client_gets_it_too(self, async_client: openai.AsyncOpenAI) -> None:
        answer = await async_client.embeddings.create(model="gpt-4o-mini", input=[1, 2, 3])

        assert answer.usage.prompt_tokens == 3


class TestImages:
    @pytest.mark.parametrize(("size", "expected"), [("512x512", (512, 512)), ("1536x1024", (1536, 1024))])
    def test_pictures_have_the_size_that_was_asked_for(
        self, client: openai.OpenAI, size: str, expected: tuple[int, int]
    ) -> None:
        answer = client.images.generate(model="gpt-4o-mini", prompt="a purse", n=2, size=size)

        pictures = [base64.b64decode(image.b64_json or "") for image in answer.data or []]
        assert [size_of(picture) for picture in pictures] == [expected, expected]
        assert all(len(picture) < 1000 for picture in pictures)

    def test_pictures_can_come_by_address(self, client: openai.OpenAI) -> None:
        answer = client.images.generate(model="gpt-4o-mini", prompt="a purse", response_format="url")

        assert answer.data is not None
        picture = httpx.get(str(answer.data[0].url), trust_env=False)
        assert (size_of(picture.content), picture.headers["content-type"]) == ((1024, 1024), "image/png")

    def test_the_model_may_produce_something_else(self, model: ModelRemote, client: openai.OpenAI) -> None:
        model.plan(Fault(kind=FaultKind.PRODUCED, produced=Produced(images=1, size="256x128")))

        answer = client.images.generate(model="gpt-4o-mini", prompt="a purse", n=3, size="1024x1024")

        (image,) = answer.data or []
        assert size_of(base64.b64decode(image.b64_json or "")) == (256, 128)

    def test_a_picture_can_be_edited(self, model: ModelRemote, client: openai.OpenAI) -> None:
        answer = client.images.edit(model="gpt-4o-mini", image=[PNG, PNG], prompt="add a coin", n=2, size="512x512")

        (call,) = model.calls("edit_images")
        assert len(answer.data or []) == 2
        assert call["body"]["fields"] == {"model": "gpt-4o-mini", "prompt": "add a coin", "n": "2", "size": "512x512"}
        assert [file["bytes"] for file in call["body"]["files"]] == [len(PNG[1])] * 2

    def test_an_edit_needs_a_picture(self, model: ModelRemote, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            client.post(
                "/images/edits",
                cast_to=httpx.Response,
                body={"model": "gpt-4o-mini", "prompt": "x"},
                files=[("mask", PNG)],
                options={"headers": {"content-type": "multipart/form-data"}},
            )

        assert refused.value.param == "image"
        assert model.calls("edit_images")

    async def test_the_async_client_gets_them_too(self, async_client: openai.AsyncOpenAI) -> None:
        drawn = await async_client.images.generate(model="gpt-4o-mini", prompt="a purse", size="512x512")
        edited = await async_client.images.edit(model="gpt-4o-mini", image=PNG, prompt="add a coin")

        assert drawn.usage is not None
        assert (drawn.usage.output_tokens, edited.size) == (256, "1024x1024")


class TestSpeech:
    def test_speech_is_as_long_as_its_text(self, client: openai.OpenAI) -> None:
        sound = client.audio.speech.create(
            model="gpt-4o-mini", voice="alloy", input="ten chars.", response_format="wav"
        ).read()

        with wave.open(io.BytesIO(sound)) as file:
            assert file.getnframes() / file.getframerate() == pytest.approx(0.6)

    @pytest.mark.parametrize(("form", "start"), [("mp3", b"\xff\xfb"), ("pcm", b"\0\0")])
    def test_other_formats_are_bytes_too(self, client: openai.OpenAI, form: str, start: bytes) -> None:
        sound = client.audio.speech.create(
            model="gpt-4o-mini",
            voice="alloy",
            input="hello",
            response_format=form,  # type: ignore[arg-type]  # a parameter of the test
        )

        assert sound.read().startswith(start)

    async def test_the_async_client_streams_it(self, async_client: openai.AsyncOpenAI) -> None:
        async with async_client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini", voice="alloy", input="hello"
        ) as answer:
            sound = b"".join([part async for part in answer.iter_bytes()])

        assert sound.startswith(b"\xff\xfb")

    def test_what_it_does_not_speak_is_refused(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            client.audio.speech.create(model="gpt-4o-mini", voice="alloy", input="x", response_format="opus")

        assert refused.value.param == "response_format"


class TestTranscription:
    def test_a_transcript_says_how_long_the_sound_was(self, client: openai.OpenAI) -> None:
        answer = client.audio.transcriptions.create(
            model="gpt-4o-mini", file=("talk.wav", wav(2_400)), response_format="verbose_json"
        )

        assert (answer.duration, answer.language, bool(answer.text)) == (2.4, "english", True)
        assert answer.usage is not None
        assert answer.usage.seconds == 3

    def test_the_short_form_has_usage_only(self, client: openai.OpenAI) -> None:
        answer = client.audio.transcriptions.create(model="gpt-4o-mini", file=("talk.wav", wav(2_400)))

        assert answer.model_dump(exclude_unset=True)["usage"] == {"type": "duration", "seconds": 3}

    def test_plain_text_says_nothing_of_length(self, client: openai.OpenAI) -> None:
        text = client.audio.transcriptions.create(
            model="gpt-4o-mini", file=("talk.wav", wav(1_000)), response_format="text"
        )

        assert str(text).strip()

    @pytest.mark.parametrize("variant", UsageVariant)
    def test_usage_can_be_wrong_in_every_way(
        self, model: ModelRemote, client: openai.OpenAI, variant: UsageVariant
    ) -> None:
        model.plan(Fault(kind=FaultKind.USAGE, usage_variant=variant))

        answer = client.audio.transcriptions.create(model="gpt-4o-mini", file=("talk.wav", wav(2_400)))

        told = answer.model_dump(exclude_unset=True).get("usage", "absent")
        assert told == {
            UsageVariant.ABSENT: "absent",
            UsageVariant.NULL: None,
            UsageVariant.EMPTY: {},
            UsageVariant.ZERO: {"type": "duration", "seconds": 0},
            UsageVariant.NEGATIVE: {"type": "duration", "seconds": -3},
            UsageVariant.OTHER_NAMES: {"type": "duration", "duration_seconds": 3},
        }.get(variant)

    async def test_the_async_client_gets_it_too(self, async_client: openai.AsyncOpenAI) -> None:
        answer = await async_client.audio.transcriptions.create(model="gpt-4o-mini", file=("talk.wav", wav(500)))

        assert answer.text

    def test_a_sound_of_another_kind_is_measured_by_its_size(self) -> None:
        assert seconds_of(bytes(8_000)) == 0.5

"""What a provider would charge for beyond our own metering is refused by name at every door of text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming, PaidRequest, QuoteBounds
from billing.gateway.rules.readers import READERS
from billing.kit.errors import InvalidInput

BOUNDS = QuoteBounds(output_tokens_default=1000, image_tokens_max=5000, choices_max=4)
PROMPTS: dict[Door, dict[str, Any]] = {
    Door.CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    Door.RESPONSES: {"input": "hi"},
    Door.COMPLETIONS: {"prompt": "hi"},
}
FILE = {"type": "file", "file": {"file_id": "file-of-somebody"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}


def read(door: Door, **fields: Any) -> PaidRequest:
    """A short request, unless told otherwise."""
    body = {"model": "m", **PROMPTS[door], **fields}
    return READERS[door](Incoming(json.dumps(body).encode()), BOUNDS)


def chat_of(*parts: object, **more: Any) -> dict[str, Any]:
    """The messages of a chat with these parts."""
    return {"messages": [{"role": "user", "content": list(parts), **more}]}


def sent(**fields: Any) -> dict[str, Any]:
    """What the provider gets of a chat request."""
    return dict(json.loads(read(Door.CHAT, **fields).for_upstream("theirs").content))


class TestEveryDoorOfText:
    @pytest.mark.parametrize("door", PROMPTS)
    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"web_search_options": {}}, "web_search_options"),
            ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
            ({"modalities": ["text", "audio"]}, "modalities"),
            ({"modalities": "audio"}, "modalities"),
            ({"service_tier": "priority"}, "service_tier"),
            ({"service_tier": ["auto"]}, "service_tier"),
            ({"models": ["a-dearer-model"]}, "models"),
            ({"fallbacks": ["a-dearer-model"]}, "fallbacks"),
            ({"plugins": [{"id": "web"}]}, "plugins"),
            ({"tools": [{"type": "web_search"}]}, "tools"),
            ({"tools": [{"type": ["function"]}]}, "tools"),
            ({"tools": ["function"]}, "tools"),
            ({"tools": {}}, "tools"),
        ],
    )
    def test_refuses_what_has_no_price(self, door: Door, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            read(door, **fields)

        assert refusal.value.field == named

    @pytest.mark.parametrize("door", PROMPTS)
    @pytest.mark.parametrize(
        "fields",
        [
            {"web_search_options": None, "audio": None, "modalities": None, "service_tier": None, "tools": None},
            {"modalities": ["text"], "service_tier": "default"},
            {"service_tier": "flex", "top_k": 40},
            {"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom"}]},
        ],
    )
    def test_takes_everything_else(self, door: Door, fields: dict[str, Any]) -> None:
        assert read(door, **fields).model == "m"


class TestAMessage:
    @pytest.mark.parametrize(
        ("door", "fields", "named"),
        [
            (Door.CHAT, chat_of(SOUND), "messages"),
            (Door.CHAT, chat_of({"type": "text", "text": "what is this?"}, FILE), "messages"),
            (Door.CHAT, chat_of({"type": "video_url", "video_url": {"url": "https://example.com/film"}}), "messages"),
            (Door.CHAT, chat_of(audio={"id": "audio_of_somebody"}), "messages"),
            (Door.RESPONSES, {"input": [{"role": "user", "content": [SOUND]}]}, "input"),
            (
                Door.RESPONSES,
                {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-of-somebody"}]}]},
                "input",
            ),
        ],
    )
    def test_neither_sounds_nor_points_at_what_stands_at_the_provider(
        self, door: Door, fields: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(InvalidInput) as refusal:
            read(door, **fields)

        assert refusal.value.field == named

    def test_may_bring_its_own_files(self) -> None:
        own = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}}

        assert read(Door.CHAT, **chat_of(own)).free_bounds.input_tokens > BOUNDS.image_tokens_max


class TestAPrediction:
    def test_counts_as_output_that_may_be_charged_beside_the_answer(self) -> None:
        prediction = {"type": "content", "content": "x" * 3000}

        bound = read(Door.CHAT, prediction=prediction, max_tokens=10, n=2).free_bounds.output_tokens

        assert bound >= 2 * (10 + 3000)

    def test_that_is_none_is_refused(self) -> None:
        with pytest.raises(InvalidInput):
            read(Door.CHAT, prediction="x")


class TestWhatTheProviderIsToKeep:
    def test_is_nothing_nor_what_only_a_kept_answer_may_carry(self) -> None:
        kept = sent(store=True, metadata={"order": "7"})

        assert not {"store", "metadata"} & kept.keys()

    def test_is_what_the_client_said_where_that_is_nothing(self) -> None:
        assert sent(store=False, metadata={"order": "7"})["metadata"] == {"order": "7"}

    def test_is_refused_where_it_is_neither_yes_nor_no(self) -> None:
        with pytest.raises(InvalidInput):
            read(Door.CHAT, store="yes")

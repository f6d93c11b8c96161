"""The official `openai` client reads the simulated model's streams unchanged, however they travel."""

from collections.abc import Iterable
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from openai.types.responses import ResponseCompletedEvent, ResponseIncompleteEvent

from testkit.simulators.deliveries import Delivery, Insertion, LineEnd, Stop
from testkit.simulators.faults import Fault, FaultKind, UsagePlacement, UsageVariant
from testkit.simulators.model import ModelSettings
from testkit.simulators.remote import ModelRemote

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Where did my money go?"}]
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
DIALECTS = [
    Delivery(piece_bytes=1),
    Delivery(piece_bytes=7, line_end=LineEnd.CRLF),
    Delivery(events_per_piece=3, has_space=False),
    Delivery(has_comments=True, line_end=LineEnd.CR),
    Delivery(lines_per_event=3),
]


def delivered(delivery: Delivery, **more: Any) -> Fault:
    """A right answer that travels in a special way."""
    return Fault(kind=FaultKind.DELIVERED, delivery=delivery, **more)


def stream(client: openai.OpenAI, **more: Any) -> Iterable[ChatCompletionChunk]:
    """Asks the question that all these tests ask, with its usage."""
    options: Any = {"stream_options": {"include_usage": True}, "max_tokens": 6, **more}
    chunks: Iterable[ChatCompletionChunk] = client.chat.completions.create(
        model="gpt-4o-mini", messages=QUESTION, stream=True, **options
    )
    return chunks


def text_of(chunks: Iterable[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@pytest.fixture
def whole(client: openai.OpenAI) -> str:
    """The answer to that question in one piece."""
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, max_tokens=6)
    return answer.choices[0].message.content or ""


class TestChat:
    def test_the_stream_says_what_the_whole_answer_says(self, client: openai.OpenAI, whole: str) -> None:
        chunks = list(stream(client))

        assert text_of(chunks) == whole
        assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "length"

    async def test_the_async_client_reads_it_too(self, async_client: openai.AsyncOpenAI, whole: str) -> None:
        chunks = await async_client.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, max_tokens=6, stream=True
        )

        assert text_of([chunk async for chunk in chunks]) == whole

    def test_usage_comes_last_and_alone_where_it_was_asked_for(self, client: openai.OpenAI) -> None:
        *before, last = stream(client)

        assert last.usage is not None
        assert (last.choices, last.usage.prompt_tokens, last.usage.completion_tokens) == ([], 15, 6)
        assert {chunk.usage for chunk in before} == {None}

    def test_usage_does_not_come_unasked(self, client: openai.OpenAI) -> None:
        chunks = list(stream(client, stream_options=openai.omit))

        assert all("usage" not in chunk.model_fields_set and chunk.choices for chunk in chunks)

    def test_every_choice_is_told(self, client: openai.OpenAI) -> None:
        chunks = list(stream(client, n=2))

        assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 12

    def test_a_tool_is_called_piece_by_piece(self, client: openai.OpenAI) -> None:
        chunks = list(stream(client, tools=[TOOL], tool_choice="required", max_tokens=1000))

        calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
        arguments = "".join(call.function.arguments or "" for call in calls if call.function)
        assert calls[0].function is not None
        assert (calls[0].function.name, arguments[:9]) == ("look", '{"said": ')
        assert chunks[-2].choices[0].finish_reason == "tool_calls"

    def test_thoughts_and_cached_tokens_are_counted(self, client: openai.OpenAI) -> None:
        *_, last = stream(client, reasoning_effort="low", prompt_cache_key="here")

        assert last.usage is not None
        assert last.usage.completion_tokens_details is not None
        assert last.usage.prompt_tokens_details is not None
        thoughts = last.usage.completion_tokens_details.reasoning_tokens
        assert (thoughts, last.usage.completion_tokens) == (16, 22)
        assert last.usage.prompt_tokens_details.cached_tokens == 7


class TestUsageInStreams:
    @pytest.mark.parametrize("variant", UsageVariant)
    def test_every_variant_comes_in_streams_too(
        self, model: ModelRemote, client: openai.OpenAI, variant: UsageVariant
    ) -> None:
        model.plan(Fault(kind=FaultKind.USAGE, usage_variant=variant))

        chunks = [chunk.model_dump(exclude_unset=True) for chunk in stream(client)]

        expected: dict[UsageVariant, Any] = {
            UsageVariant.NULL: None,
            UsageVariant.EMPTY: {},
            UsageVariant.OTHER_NAMES: {"input_tokens": 15, "output_tokens": 6},
        }
        if variant is UsageVariant.ABSENT:
            assert all(chunk.get("usage") is None and chunk["choices"] for chunk in chunks)
        elif variant in expected:
            assert chunks[-1]["usage"] == expected[variant]
        else:
            assert chunks[-1]["usage"]["completion_tokens"] == {"zero": 0, "negative": -6}[variant]

    @pytest.mark.parametrize("placement", UsagePlacement)
    def test_a_model_may_tell_it_elsewhere_and_unasked(
        self, model: ModelRemote, client: openai.OpenAI, placement: UsagePlacement
    ) -> None:
        model.plan(Fault(kind=FaultKind.USAGE, usage_placement=placement))

        chunks = list(stream(client, stream_options=openai.omit))

        told = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage is not None]
        assert told == {"own_chunk": [6], "last_chunk": [6], "every_chunk": [0, 1, 2, 3, 4, 5, 6, 6]}[placement]
        assert bool(chunks[-1].choices) is (placement is not UsagePlacement.OWN_CHUNK)

    def test_any_usage_can_be_planned(self, model: ModelRemote, client: openai.OpenAI) -> None:
        model.plan(Fault(kind=FaultKind.ALTERED, changes={"usage": {"completion_tokens": 5000}}))

        *_, last = stream(client)

        assert last.usage is not None
        assert last.usage.completion_tokens == 5000


class TestTheWay:
    @pytest.mark.parametrize("delivery", DIALECTS, ids=lambda delivery: str(delivery.model_dump(exclude_defaults=True)))
    def test_the_official_client_understands_every_dialect(
        self, model: ModelRemote, client: openai.OpenAI, whole: str, delivery: Delivery
    ) -> None:
        model.plan(delivered(delivery))

        assert text_of(stream(client)) == whole

    def test_each_piece_is_a_chunk_of_its_own(self, model: ModelRemote, model_settings: ModelSettings) -> None:
        model.plan(delivered(Delivery(split_at=(5, 90, 91))))
        body = {"model": "gpt-4o-mini", "messages": QUESTION, "stream": True}
        headers = {"authorization": f"Bearer {model_settings.api_key}"}

        with httpx.stream(
            "POST", f"{model.url}/v1/chat/completions", json=body, headers=headers, trust_env=False
        ) as answer:
            chunks = list(answer.iter_raw())

        assert [len(chunk) for chunk in chunks][:3] == [5, 85, 1]

    def test_usage_and_the_way_can_be_planned_together(
        self, model: ModelRemote, client: openai.OpenAI, whole: str
    ) -> None:
        model.plan(
            Fault(kind=FaultKind.USAGE, usage_variant=UsageVariant.ABSENT, delivery=Delivery(piece_bytes=3)),
        )

        chunks = list(stream(client))

        assert text_of(chunks) == whole
        assert all(chunk.usage is None for chunk in chunks)

    def test_an_error_can_come_in_the_middle(self, model: ModelRemote, client: openai.OpenAI) -> None:
        error = 'data: {"error": {"message": "overloaded", "code": null}}\n\n'
        model.plan(delivered(Delivery(insertions=(Insertion(after_events=3, text=error),))))

        with pytest.raises(openai.APIError, match="overloaded"):
            list(stream(client))


class TestBrokenStreams:
    @pytest.mark.parametrize(("stop", "cause"), [(Stop.CLOSE, "RemoteProtocolError"), (Stop.RESET, "ReadError")])
    def test_a_stream_can_break_after_any_event(
        self, model: ModelRemote, client: openai.OpenAI, stop: Stop, cause: str
    ) -> None:
        model.plan(delivered(Delivery(stop_after_events=3, stop=stop)))
        chunks = iter(stream(client))

        seen = [next(chunks) for _ in range(3)]

        with pytest.raises(openai.APIConnectionError) as broken:
            next(chunks)
        assert type(broken.value.__cause__).__name__ == cause
        assert text_of(seen)
        (call,) = model.calls(at_least=1, has_ended=True)
        assert call["ending"] == "cut"

    def test_a_stream_can_end_without_its_end(self, model: ModelRemote, client: openai.OpenAI) -> None:
        model.plan(delivered(Delivery(stop_after_events=3, stop=Stop.END)))

        assert len(list(stream(client))) == 3

    def test_a_stream_can_fall_silent(self, model: ModelRemote, client: openai.OpenAI) -> None:
        model.plan(delivered(Delivery(stop_after_events=2, stop=Stop.SILENCE)))
        chunks = iter(stream(client.with_options(timeout=0.3)))

        seen = [next(chunks) for _ in range(2)]

        with pytest.raises(openai.APITimeoutError):
            next(chunks)
        assert len(seen) == 2
        assert model.calls(at_least=1, has_ended=True)[0]["ending"] == "client_left"


class TestPauses:
    def test_a_stream_waits_until_it_may_go_on(self, model: ModelRemote, client: openai.OpenAI, whole: str) -> None:
        model.plan(delivered(Delivery(pause_after_events=(2, 4))))
        chunks = iter(stream(client))
        seen = [next(chunks), next(chunks)]

        paused = model.pauses(at_least=1)
        model.resume(paused[0]["call"])
        seen += [next(chunks), next(chunks)]

        assert [pause["after_events"] for pause in paused + model.pauses(at_least=1)] == [2, 4]
        model.resume()
        assert text_of([*seen, *chunks]) == whole
        assert model.pauses() == []

    async def test_an_answer_waits_before_its_status(
        self, model: ModelRemote, async_client: openai.AsyncOpenAI, whole: str
    ) -> None:
        model.plan(delivered(Delivery(pause_before_status=True)))

        with pytest.raises(openai.APITimeoutError):
            await async_client.with_options(timeout=0.2).chat.completions.create(
                model="gpt-4o-mini", messages=QUESTION, max_tokens=6
            )

        (call,) = model.calls(at_least=2, has_ended=True)[1:]
        assert (call["status"], call["ending"]) == (None, "client_left")
        assert whole

    def test_a_client_that_leaves_ends_the_pause(self, model: ModelRemote, client: openai.OpenAI) -> None:
        model.plan(delivered(Delivery(pause_after_events=(1,))))
        chunks = client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True)
        next(iter(chunks))
        model.pauses(at_least=1)

        chunks.close()

        (call,) = model.calls(at_least=1, has_ended=True)
        assert (call["ending"], model.pauses()) == ("client_left", [])

    def test_what_does_not_pause_is_not_waited_for(self, model: ModelRemote) -> None:
        with pytest.raises(TimeoutError, match="0 of 1 answers came to a pause"):
            model.pauses(at_least=1, within_seconds=0.01)


class TestResponses:
    def test_the_stream_ends_with_the_whole_response(self, client: openai.OpenAI) -> None:
        whole = client.responses.create(model="gpt-4o-mini", input="Where did my money go?")

        events = list(client.responses.create(model="gpt-4o-mini", input="Where did my money go?", stream=True))

        last = events[-1]
        assert isinstance(last, ResponseCompletedEvent)
        assert last.response.output_text == whole.output_text
        assert last.response.usage == whole.usage
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == whole.output_text
        assert [event.sequence_number for event in events] == list(range(len(events)))

    def test_a_limit_leaves_it_incomplete(self, client: openai.OpenAI) -> None:
        *_, last = client.responses.create(model="gpt-4o-mini", input="Why?", max_output_tokens=3, stream=True)

        assert isinstance(last, ResponseIncompleteEvent)
        assert last.response.usage is not None
        assert last.response.usage.output_tokens == 3

    async def test_the_async_client_reads_it_too(self, async_client: openai.AsyncOpenAI) -> None:
        events = await async_client.responses.create(model="gpt-4o-mini", input="Why?", stream=True)

        assert [event async for event in events][-1].type == "response.completed"

    def test_usage_can_have_the_names_of_chat(self, model: ModelRemote, client: openai.OpenAI) -> None:
        model.plan(Fault(kind=FaultKind.USAGE, usage_variant=UsageVariant.OTHER_NAMES))

        answer = client.responses.create(model="gpt-4o-mini", input="Why?", instructions="Be brief.")

        assert set(answer.model_dump(exclude_unset=True)["usage"]) == {"prompt_tokens", "completion_tokens"}


class TestCompletions:
    def test_prompts_are_continued(self, client: openai.OpenAI) -> None:
        answer = client.completions.create(model="gpt-4o-mini", prompt=["Once", "Twice"], max_tokens=4)

        assert answer.usage is not None
        assert (len(answer.choices), answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 3, 8)

    def test_a_stream_says_the_same(self, client: openai.OpenAI) -> None:
        whole = client.completions.create(model="gpt-4o-mini", prompt="Once")

        chunks = list(
            client.completions.create(
                model="gpt-4o-mini", prompt="Once", stream=True, stream_options={"include_usage": True}
            )
        )

        assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
        assert chunks[-1].usage == whole.usage

    async def test_the_async_client_gets_it_too(self, async_client: openai.AsyncOpenAI) -> None:
        answer = await async_client.completions.create(model="gpt-4o-mini", prompt=[1, 2, 3])

        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 16)

"""The official `openai` client works against the simulated model unchanged."""

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from testkit.simulators.faults import Fault, FaultKind, UsageVariant
from testkit.simulators.model.completion import prompt_tokens_of, tokens_of
from testkit.simulators.remote import ModelRemote

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Where did my money go?"}]


def ask(client: openai.OpenAI, *, tokens_max: int | None = None) -> ChatCompletion:
    """Asks the question that all these tests ask."""
    return client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, max_completion_tokens=tokens_max)


class TestModels:
    def test_the_served_models_are_listed(self, client: openai.OpenAI) -> None:
        assert [model.id for model in client.models.list()] == ["gpt-4o-mini", "gpt-4o"]

    def test_one_model_can_be_looked_up(self, client: openai.OpenAI) -> None:
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"

    def test_an_unknown_model_is_not_found(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as refused:
            client.chat.completions.create(model="gpt-0", messages=QUESTION)

        assert refused.value.code == "model_not_found"


class TestChat:
    def test_an_answer_comes_with_its_usage(self, client: openai.OpenAI) -> None:
        answer = ask(client)

        assert answer.usage is not None
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.prompt_tokens == 15
        assert answer.usage.completion_tokens == len(tokens_of(answer.choices[0].message.content or ""))
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

    async def test_the_async_client_gets_the_same_answer(
        self, client: openai.OpenAI, async_client: openai.AsyncOpenAI
    ) -> None:
        answer = await async_client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)

        assert answer.choices == ask(client).choices

    def test_another_question_gets_another_answer(self, client: openai.OpenAI) -> None:
        other = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Why?"}])

        assert other.choices != ask(client).choices

    def test_the_reply_stops_at_the_limit(self, client: openai.OpenAI) -> None:
        answer = ask(client, tokens_max=5)

        assert answer.usage is not None
        assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 5)

    def test_every_choice_is_counted(self, client: openai.OpenAI) -> None:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, n=3, max_tokens=4)

        assert answer.usage is not None
        assert (len(answer.choices), answer.usage.completion_tokens) == (3, 12)

    def test_a_malformed_request_names_its_member(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model="gpt-4o-mini", messages=[])

        assert refused.value.param == "messages"

    def test_a_wrong_key_is_refused(self, client: openai.OpenAI) -> None:
        stranger = client.with_options(api_key="sk-wrong")

        with pytest.raises(openai.AuthenticationError) as refused:
            ask(stranger)

        assert refused.value.code == "invalid_api_key"


class TestTokens:
    @pytest.mark.parametrize("text", ["", "balance", "Где мои деньги? 🤷", "a  b\n\tc", "naïve café, 1 000,50 ₽"])
    def test_tokens_joined_are_the_text_and_no_more_than_its_bytes(self, text: str) -> None:
        tokens = tokens_of(text)

        assert "".join(tokens) == text
        assert len(tokens) <= len(text.encode())

    def test_images_and_parts_of_text_count(self) -> None:
        parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:,"}}]

        counted = prompt_tokens_of([{"role": "user", "content": parts}])

        assert counted == prompt_tokens_of([{"role": "user", "content": "look"}]) + 85


class TestUsageVariants:
    def variant(self, model: ModelRemote, client: openai.OpenAI, variant: UsageVariant) -> dict[str, object] | None:
        """The usage of the next answer, as it stands in the JSON."""
        model.plan(Fault(kind=FaultKind.USAGE, usage_variant=variant))
        body = ask(client).model_dump(exclude_unset=True)
        assert body["choices"][0]["message"]["content"]
        usage: dict[str, object] | None = body.get("usage", {"is": "absent"})
        return usage

    def test_usage_can_be_absent_or_null_or_empty(self, model: ModelRemote, client: openai.OpenAI) -> None:
        assert self.variant(model, client, UsageVariant.ABSENT) == {"is": "absent"}
        assert self.variant(model, client, UsageVariant.NULL) is None
        assert self.variant(model, client, UsageVariant.EMPTY) == {}

    def test_usage_can_be_zero(self, model: ModelRemote, client: openai.OpenAI) -> None:
        usage = self.variant(model, client, UsageVariant.ZERO)

        assert usage is not None
        assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (0, 0, 0)

    def test_usage_can_be_negative(self, model: ModelRemote, client: openai.OpenAI) -> None:
        usage = self.variant(model, client, UsageVariant.NEGATIVE)

        assert usage is not None
        assert usage["prompt_tokens"] == -15

    def test_usage_can_have_other_names(self, model: ModelRemote, client: openai.OpenAI) -> None:
        usage = self.variant(model, client, UsageVariant.OTHER_NAMES)

        assert usage is not None
        assert set(usage) == {"input_tokens", "output_tokens"}

    def test_any_usage_can_be_planned(self, model: ModelRemote, client: openai.OpenAI) -> None:
        model.plan(Fault(kind=FaultKind.ALTERED, changes={"usage": {"completion_tokens": 5000}}))

        usage = ask(client).usage

        assert usage is not None
        assert usage.completion_tokens == 5000


class TestFaults:
    @pytest.mark.parametrize(
        ("kind", "error"),
        [
            (FaultKind.RATE_LIMITED, openai.RateLimitError),
            (FaultKind.SERVER_ERROR, openai.InternalServerError),
            (FaultKind.BAD_GATEWAY_HTML, openai.InternalServerError),
            (FaultKind.RESET, openai.APIConnectionError),
            (FaultKind.HALF_RESPONSE, openai.APIConnectionError),
        ],
    )
    def test_faults_reach_the_official_client(
        self, model: ModelRemote, client: openai.OpenAI, kind: FaultKind, error: type[openai.APIError]
    ) -> None:
        model.plan(Fault(kind=kind))

        with pytest.raises(error):
            ask(client)

    def test_a_model_that_hangs_times_out(self, model: ModelRemote, client: openai.OpenAI) -> None:
        model.plan(Fault(kind=FaultKind.HANG))

        with pytest.raises(openai.APITimeoutError):
            ask(client.with_options(timeout=0.2))

    def test_a_client_that_tries_again_makes_a_second_call(self, model: ModelRemote, client: openai.OpenAI) -> None:
        model.plan(Fault(kind=FaultKind.RATE_LIMITED, retry_after_seconds=0))

        ask(client.with_options(max_retries=1))

        assert [call["status"] for call in model.calls("create_chat_completion")] == [429, 200]


class TestTheCallLog:
    def test_tests_can_ask_what_reached_the_model(self, model: ModelRemote, client: openai.OpenAI) -> None:
        ask(client, tokens_max=5)

        (call,) = model.calls("create_chat_completion")

        assert call["body"]["messages"] == QUESTION
        assert call["body"]["max_completion_tokens"] == 5
        assert "authorization" not in call["headers"]

    def test_they_can_ask_how_a_call_was_over(self, model: ModelRemote, client: openai.OpenAI) -> None:
        ask(client)
        model.plan(Fault(kind=FaultKind.REFUSED, status=402))
        with pytest.raises(openai.APIStatusError) as refused:
            ask(client)

        calls = model.calls(at_least=2, has_ended=True)

        assert refused.value.status_code == 402
        assert [(call["status"], call["ending"]) for call in calls] == [(200, "whole"), (402, "whole")]
        assert all(call["sent_bytes"] > 50 for call in calls)

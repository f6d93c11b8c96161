"""The official `openai` client, unchanged, against the real gateway: every route, both prefixes, both kinds of client.

Each call is judged by what the client got, by the headers, by the balance, which moved by exactly the price of what the
answer says was used, and by the record of usage. The prices are those of the seeded models, typed in once more.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import openai
import pytest

from testkit.actors.customer import Customer
from testkit.simulators.model.audio import wav
from testkit.simulators.model.images import png
from testkit.stack.stack import Stack

QUESTION = "What is double entry?"
MESSAGES = [{"role": "user", "content": QUESTION}]
PER_TOKEN_IN, PER_TOKEN_OUT = Decimal("0.00006"), Decimal("0.00024")
PER_EMBEDDED_TOKEN, PER_PIXEL = Decimal("0.000008"), Decimal("0.000004")
PER_CHARACTER, PER_MILLISECOND = Decimal("0.0012"), Decimal("0.0005")

Client = openai.OpenAI | openai.AsyncOpenAI


@dataclass(frozen=True)
class Told:
    """What a client got: the headers, the parsed answer or the list of its parts."""

    headers: Mapping[str, str]
    answer: Any

    @property
    def last(self) -> Any:
        """The last part of a stream."""
        return self.answer[-1]


@dataclass(frozen=True)
class Route:
    """One way to call the gateway with the official client.

    `price` reads what the answer itself says was used; `is_answer` says whether it is one at all.
    """

    name: str
    door: str
    resource: str
    arguments: Mapping[str, Any]
    price: Callable[[Told], Decimal]
    is_answer: Callable[[Told], object]
    method: str = "create"

    @property
    def is_stream(self) -> bool:
        return bool(self.arguments.get("stream"))

    async def call(self, client: Client) -> Told:
        """Asks, and waits for the whole answer."""
        resource: Any = client
        for part in self.resource.split("."):
            resource = getattr(resource, part)
        raw = getattr(resource.with_raw_response, self.method)(**self.arguments)
        raw = await raw if inspect.isawaitable(raw) else raw
        answer = raw.parse()
        if not self.is_stream:
            return Told(raw.headers, answer)
        parts = [part async for part in answer] if hasattr(answer, "__aiter__") else list(answer)
        return Told(raw.headers, parts)


def of_tokens(usage: Any) -> Decimal:
    """The price of text, under the names of either route."""
    is_chat = hasattr(usage, "prompt_tokens")
    tokens_in: int = usage.prompt_tokens if is_chat else usage.input_tokens
    tokens_out: int = usage.completion_tokens if is_chat else usage.output_tokens
    return tokens_in * PER_TOKEN_IN + tokens_out * PER_TOKEN_OUT


def size_of(picture: bytes) -> int:
    """The pixels of a PNG, by its header."""
    return int.from_bytes(picture[16:20], "big") * int.from_bytes(picture[20:24], "big")


def pixels_of(told: Told) -> int:
    return sum(size_of(base64.b64decode(image.b64_json)) for image in told.answer.data)


CHAT = {"model": "demo-small", "messages": MESSAGES, "max_tokens": 20}
STREAM = {"stream": True}
SHOWN = {**STREAM, "stream_options": {"include_usage": True}}
PICTURES = {"model": "demo-image", "prompt": "a purse", "n": 2, "size": "512x512"}
ROUTES = [
    Route(
        "chat",
        "chat/completions",
        "chat.completions",
        CHAT,
        price=lambda told: of_tokens(told.answer.usage),
        is_answer=lambda told: told.answer.choices[0].message.content,
    ),
    Route(
        "chat stream",
        "chat/completions",
        "chat.completions",
        {**CHAT, **SHOWN},
        price=lambda told: of_tokens(told.last.usage),
        is_answer=lambda told: "".join(part.choices[0].delta.content or "" for part in told.answer[:-1]),
    ),
    Route(
        "responses",
        "responses",
        "responses",
        {"model": "demo-small", "input": QUESTION},
        price=lambda told: of_tokens(told.answer.usage),
        is_answer=lambda told: told.answer.output_text,
    ),
    Route(
        "responses stream",
        "responses",
        "responses",
        {"model": "demo-small", "input": QUESTION, **STREAM},
        price=lambda told: of_tokens(told.last.response.usage),
        is_answer=lambda told: told.last.response.output_text,
    ),
    Route(
        "completions",
        "completions",
        "completions",
        {"model": "demo-small", "prompt": QUESTION},
        price=lambda told: of_tokens(told.answer.usage),
        is_answer=lambda told: told.answer.choices[0].text,
    ),
    Route(
        "completions stream",
        "completions",
        "completions",
        {"model": "demo-small", "prompt": QUESTION, **SHOWN},
        price=lambda told: of_tokens(told.last.usage),
        is_answer=lambda told: "".join(part.choices[0].text for part in told.answer[:-1]),
    ),
    Route(
        "embeddings",
        "embeddings",
        "embeddings",
        {"model": "demo-embedding", "input": ["ledger", "balance sheet"]},
        price=lambda told: told.answer.usage.prompt_tokens * PER_EMBEDDED_TOKEN,
        is_answer=lambda told: len(told.answer.data) == 2 and told.answer.data[0].embedding,
    ),
    Route(
        "images",
        "images/generations",
        "images",
        PICTURES,
        method="generate",
        price=lambda told: pixels_of(told) * PER_PIXEL,
        is_answer=lambda told: pixels_of(told) == 2 * 512 * 512,
    ),
    Route(
        "image edits",
        "images/edits",
        "images",
        {**PICTURES, "image": ("purse.png", png(8, 8), "image/png")},
        method="edit",
        price=lambda told: pixels_of(told) * PER_PIXEL,
        is_answer=lambda told: pixels_of(told) == 2 * 512 * 512,
    ),
    Route(
        "speech",
        "audio/speech",
        "audio.speech",
        {"model": "demo-speech", "voice": "alloy", "input": QUESTION},
        price=lambda _: len(QUESTION) * PER_CHARACTER,
        is_answer=lambda told: told.answer.content.startswith(b"\xff\xfb"),
    ),
    Route(
        "transcriptions",
        "audio/transcriptions",
        "audio.transcriptions",
        {"model": "demo-transcription", "file": ("talk.wav", wav(2_400))},
        price=lambda told: int(told.answer.usage.seconds) * 1000 * PER_MILLISECOND,
        is_answer=lambda told: told.answer.text,
    ),
]


def client_of(kind: type[Client], stack: Stack, customer: Customer, prefix: str) -> Client:
    """The official client as its own documentation sets it up, with an address and a key."""
    return kind(base_url=f"{stack.site.url}/{prefix}", api_key=customer.api_key(), timeout=20)


async def close(client: Client) -> None:
    closing = client.close()
    if inspect.isawaitable(closing):
        await closing


@pytest.mark.parametrize("prefix", ["v1", "openai"])
@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI], ids=["sync", "async"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
class TestEveryRoute:
    async def test_is_answered_and_charged_exactly_once(
        self, route: Route, kind: type[Client], prefix: str, stack: Stack, customer: Customer
    ) -> None:
        client = client_of(kind, stack, customer, prefix)
        before, rows = customer.available(), customer.usage()

        told = await route.call(client)
        await close(client)

        price, after = route.price(told), customer.available()
        row, *earlier = customer.usage()
        assert [one["operation_id"] for one in earlier][:5] == [one["operation_id"] for one in rows][:5]
        assert route.is_answer(told)
        assert before - after == price > 0
        assert told.headers["x-billing-operation"] == row["operation_id"]
        assert (Decimal(row["charged"]["amount"]), row["door"]) == (price, route.door)
        assert (row["model"], row["billing_source"], row["is_estimated"]) == (route.arguments["model"], "payg", False)
        if route.is_stream:
            bill = told.last.model_dump().get("billing") or told.last.model_dump()["response"]["billing"]
            assert (Decimal(bill["charged"]), Decimal(bill["balance"])) == (price, after)
        else:
            assert Decimal(told.headers["x-billing-charged"]) == price
            assert Decimal(told.headers["x-billing-balance"]) == after


@pytest.mark.parametrize("prefix", ["v1", "openai"])
@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI], ids=["sync", "async"])
class TestTheModels:
    async def test_are_listed_for_nothing(
        self, kind: type[Client], prefix: str, stack: Stack, customer: Customer
    ) -> None:
        client = client_of(kind, stack, customer, prefix)
        before = customer.available(), customer.usage()

        page: Any = client.models.list()
        listed = [model.id async for model in page] if hasattr(page, "__aiter__") else [model.id for model in page]
        await close(client)

        assert {str(route.arguments["model"]) for route in ROUTES} <= set(listed)
        assert (customer.available(), customer.usage()) == before


class TestARefusal:
    @pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
    async def test_comes_once_and_in_openais_shape_on_every_route(
        self, route: Route, stack: Stack, poor_customer: Customer
    ) -> None:
        stack.model.forget_calls()
        client = client_of(openai.AsyncOpenAI, stack, poor_customer, "v1")

        with pytest.raises(openai.APIStatusError) as refused:
            await route.call(client)
        await close(client)

        assert (refused.value.status_code, refused.value.code) == (402, "insufficient_funds")
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert (stack.model.calls(), poor_customer.usage()) == ([], [])

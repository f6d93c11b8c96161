"""Streams over real HTTP: what clients read, and that leaving at any moment leaves the books whole."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import httpx
import openai
import pytest
import uvicorn
from starlette.types import Message

from backend.tests.builders.gateway import Gate, Payer, Provider
from backend.tests.builders.gateway_http import application, bearer
from backend.tests.builders.streams import (
    INPUT,
    OUTPUT,
    WITH_USAGE,
    WORDS,
    asked,
    checkpoints,
    is_booked_once,
    is_given_back,
    read,
)
from backend.tests.fakes.http_server import serving
from backend.tests.fakes.model_upstream import DONE, ScriptedUpstream, Step, delta, event, streaming, usage
from billing.cli import Server
from billing.gateway.calls import StreamedAnswer
from billing.gateway.endpoints import StreamResponse
from billing.gateway.errors import UpstreamBroken
from billing.pricing.seed import DEMO_SMALL
from billing.usage.rules import EstimateReason
from testkit.loopback import NO_TLS

pytestmark = [pytest.mark.money, pytest.mark.slow]

DOOR = "/v1/chat/completions"


class _QuietServer(Server):
    """Leaves the test run's signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


Opening = Callable[[ScriptedUpstream], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
async def payer(gate: Gate) -> Payer:
    """Somebody with 100 roubles."""
    return await gate.payer("100")


@pytest.fixture
def opened(gate: Gate) -> Opening:
    """Serves the gateway in front of a scripted provider; leaving waits until every stream is booked."""

    @asynccontextmanager
    async def opening(upstream: ScriptedUpstream) -> AsyncIterator[httpx.AsyncClient]:
        behind = gate.behind(upstream)
        async with serving(application(behind)) as url, httpx.AsyncClient(verify=NO_TLS, base_url=url) as client:
            yield client
        await behind.service.close()

    return opening


class TestTheHeaders:
    async def test_name_the_operation_and_what_is_left_beside_its_hold(
        self, gate: Gate, payer: Payer, opened: Opening
    ) -> None:
        async with opened(streaming(delta("Hi", finish="stop"), usage(10, 20), DONE)) as client:
            answer = await client.post(DOOR, json=asked(), headers=bearer(payer))

        (found,) = (await gate.accounts(payer)).events
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-billing-operation"] == found.operation_id
        assert answer.headers["x-billing-source"] == "payg"
        assert float(answer.headers["x-billing-balance"]) < 100
        assert "x-billing-charged" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        assert read(answer.content)[-1] == "[DONE]"

    async def test_of_a_refusal_are_those_of_any_refusal(self, payer: Payer, opened: Opening, gate: Gate) -> None:
        body = json.dumps({"error": {"message": "Slow down.", "code": "rate"}}).encode()
        async with opened(streaming(body, status=429, retry_after_seconds=3)) as client:
            answer = await client.post(DOOR, json=asked(), headers=bearer(payer))

        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
        assert answer.headers["x-billing-charged"] == "0.00"
        assert is_given_back(await gate.accounts(payer))

    @pytest.mark.parametrize("status", [401, 402, 403])
    async def test_do_not_blame_the_client_for_our_account(self, status: int, payer: Payer, opened: Opening) -> None:
        body = json.dumps({"error": {"message": "sk-abc is out of funds", "code": "billing_hard_limit"}}).encode()
        async with opened(streaming(body, status=status)) as client:
            answer = await client.post(DOOR, json=asked(), headers=bearer(payer))

        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_error")
        assert "funds" not in answer.text


class TestABrokenStream:
    async def test_before_its_first_byte_is_a_plain_error(self, payer: Payer, opened: Opening) -> None:
        async with opened(streaming(UpstreamBroken())) as client:
            answer = await client.post(DOOR, json=asked(), headers=bearer(payer))

        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["type"]) == (502, "upstream_broken", "server_error")
        assert answer.headers["x-should-retry"] == "false"

    async def test_says_so_in_our_words_only(self, payer: Payer, opened: Opening) -> None:
        theirs = event({"error": {"message": "host 10.0.0.7 lost sk-secret-key", "type": "server_error"}})
        async with opened(streaming(delta("word"), theirs)) as client:
            answer = await client.post(DOOR, json=asked(), headers=bearer(payer))

        assert read(answer.content)[-1]["error"]["code"] == "upstream_broken"
        assert "10.0.0.7" not in answer.text
        assert "secret" not in answer.text


class TestTheOfficialClient:
    async def test_reads_a_stream_with_its_cost(self, gate: Gate, payer: Payer) -> None:
        upstream = streaming(delta("Hel"), delta("lo", finish="stop"), usage(10, 20), DONE)
        behind = gate.behind(upstream)
        async with (
            serving(application(behind)) as url,
            openai.AsyncOpenAI(api_key=payer.key, base_url=f"{url}/v1") as client,
        ):
            stream = await client.chat.completions.create(
                model=DEMO_SMALL,
                messages=[{"role": "user", "content": "Hi"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
        await behind.service.close()

        (found,) = (await gate.accounts(payer)).events
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 20
        assert (chunks[-1].model_extra or {})["billing"]["charged"] == found.charged.to_decimal()
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_raises_where_the_provider_broke_off(self, gate: Gate, payer: Payer) -> None:
        behind = gate.behind(streaming(delta("Hel"), UpstreamBroken()))
        async with (
            serving(application(behind)) as url,
            openai.AsyncOpenAI(api_key=payer.key, base_url=f"{url}/v1") as client,
        ):
            stream = await client.chat.completions.create(
                model=DEMO_SMALL, messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            with pytest.raises(openai.APIError) as broken:
                async for _ in stream:
                    pass
        await behind.service.close()

        assert broken.value.code == "upstream_broken"

    async def test_reads_a_clean_end_where_money_runs_out(self, gate: Gate) -> None:
        poor = await gate.payer("1.1")
        behind = gate.behind(streaming(*[delta(WORDS * 5)] * 200, DONE))
        async with (
            serving(application(behind)) as url,
            openai.AsyncOpenAI(api_key=poor.key, base_url=f"{url}/v1") as client,
        ):
            stream = await client.chat.completions.create(
                model=DEMO_SMALL, messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            chunks = [chunk async for chunk in stream]
        await behind.service.close()

        assert chunks[-1].choices[0].finish_reason == "length"
        assert (chunks[-1].model_extra or {})["billing"]["stopped"]["code"] == "insufficient_funds"


class TestAClientWhoHangsUp:
    async def test_in_the_middle_is_charged_what_the_provider_counts_in_the_end(
        self, gate: Gate, payer: Payer, opened: Opening
    ) -> None:
        has_gone = asyncio.Event()
        steps: list[Step] = [
            delta("one"),
            has_gone.wait,
            *[delta("two")] * 50,
            delta(finish="stop"),
            usage(10, 20),
            DONE,
        ]
        async with opened(streaming(*steps)) as client:
            async with client.stream("POST", DOOR, json=asked(), headers=bearer(payer)) as answer:
                await anext(answer.aiter_bytes())
            has_gone.set()

        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)
        assert await checkpoints(gate, payer) == 0

    async def test_before_the_first_byte_is_charged_the_same(self, gate: Gate, payer: Payer, opened: Opening) -> None:
        is_asked, has_gone = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            is_asked.set()
            await has_gone.wait()

        async with opened(streaming(wait, delta("one", finish="stop"), usage(10, 20), DONE)) as client:
            call = asyncio.create_task(client.post(DOOR, json=asked(), headers=bearer(payer)))
            await is_asked.wait()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            has_gone.set()

        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_is_noticed_by_whatever_the_server_does_then(self, gate: Gate, payer: Payer) -> None:
        behind = gate.behind(streaming(delta(WORDS), asyncio.Event().wait), drain_seconds=0.01)
        streamed: StreamedAnswer = await behind.stream(payer, asked())

        async def receive() -> Message:
            return await asyncio.Future()

        async def send(_: Message) -> None:
            raise OSError

        # A server of the newer protocol raises where it cannot send.
        scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
        await StreamResponse(streamed, {})(scope, receive, send)
        await behind.service.close()

        (found,) = (await gate.accounts(payer)).events
        assert found.estimate_reason is EstimateReason.STREAM_CUT


class TestAServerThatIsToldToStop:
    async def test_gives_streams_their_last_word(self, gate: Gate, payer: Payer) -> None:
        behind = gate.behind(streaming(delta(WORDS), asyncio.Event().wait), shutdown_seconds=0.01)
        config = uvicorn.Config(application(behind), lifespan="off", log_config=None, timeout_graceful_shutdown=5)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = _QuietServer(config, behind.service)
            running = asyncio.create_task(server.serve([listener]))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with (
                httpx.AsyncClient(verify=NO_TLS, base_url=url) as client,
                client.stream("POST", DOOR, json=asked(), headers=bearer(payer)) as answer,
            ):
                pieces = answer.aiter_bytes()
                content = await anext(pieces)
                server.should_exit = True
                content += b"".join([piece async for piece in pieces])
            await running

        (found,) = (await gate.accounts(payer)).events
        assert read(content)[-1]["error"]["code"] == "gateway_stopping"
        assert is_booked_once(await gate.accounts(payer), found.charged.micros, EstimateReason.STREAM_CUT)


class TestTheSimulatedProvider:
    async def test_streams_through_the_real_adapter(self, gate: Gate, payer: Payer, provider: Provider) -> None:
        async with serving(application(gate)) as url, httpx.AsyncClient(verify=NO_TLS, base_url=url) as client:
            answer = await client.post(DOOR, json=asked(**WITH_USAGE), headers=bearer(payer))
        await gate.service.close()

        after = await gate.accounts(payer)
        last, mark = read(answer.content)[-2:]
        counted = last["usage"]
        assert mark == "[DONE]"
        assert last["billing"]["charged"] == after.events[0].charged.to_decimal()
        assert is_booked_once(after, counted["prompt_tokens"] * INPUT + counted["completion_tokens"] * OUTPUT, None)
        assert len(await provider.calls()) == 1

    async def test_refuses_and_is_passed_on(self, gate: Gate, payer: Payer, provider: Provider) -> None:
        await provider.will("server_error")

        async with serving(application(gate)) as url, httpx.AsyncClient(verify=NO_TLS, base_url=url) as client:
            answer = await client.post(DOOR, json=asked(), headers=bearer(payer))

        assert answer.status_code == 500
        assert is_given_back(await gate.accounts(payer))

"""The adapter carries a request once, and turns every way of failing into one of three refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from backend.tests.builders.gateway import SETTINGS
from backend.tests.fakes.http_server import serving
from billing.gateway.adapters.http_upstream import HttpUpstream
from billing.gateway.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from billing.gateway.rules.routes import ModelRoute, UpstreamTarget
from billing.kit.unit_of_work import Begin

IMPATIENT = SETTINGS.model_copy(
    update={"read_timeout_seconds": 0.5, "total_timeout_seconds": 0.8, "reply_bytes_max": 2000}
)


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    """The adapter, with short patience."""
    upstream = HttpUpstream(IMPATIENT)
    yield upstream
    await upstream.close()


def answering(how: Callable[[Request], Awaitable[Response]]) -> Starlette:
    """A provider that answers chat requests this way."""
    return Starlette(routes=[Route("/v1/chat/completions", how, methods=["GET", "POST"])])


def route(base_url: str) -> ModelRoute:
    """The way there."""
    return ModelRoute("m", (UpstreamTarget("main", f"{base_url}/v1", SecretStr("sk-ours"), "theirs", "m"),))


async def drops(count: int) -> AsyncIterator[bytes]:
    """A body that comes drop by drop, each within the patience for silence."""
    for _ in range(count):
        yield b" "
        await asyncio.sleep(0.1)  # the provider is slow on purpose


class TestCarrying:
    async def test_brings_the_request_with_our_key_and_the_answer_back(self, upstream: HttpUpstream) -> None:
        async def echo(request: Request) -> Response:
            said = {"key": request.headers["authorization"], "body": await request.json()}
            return JSONResponse(said, status_code=418, headers={"Retry-After": "12"})

        async with serving(answering(echo)) as url:
            reply = await upstream.complete_chat(route(url), b'{"model": "theirs"}')

        assert (reply.status, reply.retry_after_seconds) == (418, 12)
        assert json.loads(reply.body) == {"key": "Bearer sk-ours", "body": {"model": "theirs"}}

    @pytest.mark.parametrize("wait", ["tomorrow", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999"])
    async def test_passes_on_only_a_plain_number_of_seconds(self, wait: str, upstream: HttpUpstream) -> None:
        async def busy(_: Request) -> Response:
            return Response(status_code=429, headers={"Retry-After": wait})

        async with serving(answering(busy)) as url:
            assert (await upstream.complete_chat(route(url), b"{}")).retry_after_seconds is None

    async def test_does_not_follow_the_answer_elsewhere(self, upstream: HttpUpstream) -> None:
        seen: list[str] = []

        async def elsewhere(request: Request) -> Response:
            seen.append(request.url.path)
            return RedirectResponse("/v1/chat/completions?again")

        async with serving(answering(elsewhere)) as url:
            reply = await upstream.complete_chat(route(url), b"{}")

        assert (reply.status, len(seen)) == (307, 1)

    async def test_is_refused_while_a_transaction_is_open(self, upstream: HttpUpstream, begin: Begin) -> None:
        async with begin():
            with pytest.raises(AssertionError, match="transaction is open"):
                await upstream.complete_chat(route("http://127.0.0.1:9"), b"{}")


class TestFailing:
    async def test_on_a_body_that_is_too_large_is_a_broken_answer(self, upstream: HttpUpstream) -> None:
        async def flood(_: Request) -> Response:
            return Response(b"x" * 2001)

        async with serving(answering(flood)) as url:
            with pytest.raises(UpstreamBroken):
                await upstream.complete_chat(route(url), b"{}")

    async def test_on_a_body_that_never_ends_is_a_timeout(self, upstream: HttpUpstream) -> None:
        async def drip(_: Request) -> Response:
            return StreamingResponse(drops(30))

        async with serving(answering(drip)) as url:
            with pytest.raises(UpstreamTimeout):
                await upstream.complete_chat(route(url), b"{}")

    async def test_on_a_body_that_cannot_be_unpacked_is_a_broken_answer(self, upstream: HttpUpstream) -> None:
        async def garbled(_: Request) -> Response:
            return Response(b"not gzip at all", headers={"Content-Encoding": "gzip"})

        async with serving(answering(garbled)) as url:
            with pytest.raises(UpstreamBroken):
                await upstream.complete_chat(route(url), b"{}")

    async def test_to_connect_is_said_so(self, upstream: HttpUpstream) -> None:
        with pytest.raises(UpstreamUnreachable):
            await upstream.complete_chat(route("http://127.0.0.1:9"), b"{}")

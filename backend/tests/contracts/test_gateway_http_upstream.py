"""The adapter carries a request exactly once, and turns every way of failing, at every moment, into three refusals."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from backend.tests.builders.gateway import SETTINGS
from backend.tests.fakes.http_server import serving
from backend.tests.fakes.raw_server import Visit, raw_server
from billing.gateway.adapters.http_upstream import HttpUpstream
from billing.gateway.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Outgoing
from billing.gateway.rules.routes import UpstreamTarget
from billing.kit.unit_of_work import Begin

REPLY_BYTES_MAX = 2000
IMPATIENT = SETTINGS.model_copy(
    update={
        "connect_timeout_seconds": 0.4,
        "read_timeout_seconds": 0.5,
        "total_timeout_seconds": 60.0,
        "reply_bytes_max": REPLY_BYTES_MAX,
    }
)
SELF_SIGNED = Path(__file__).parents[1] / "fakes" / "self_signed.pem"
NOBODY = "http://127.0.0.1:9"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
QUESTION = Outgoing(b'{"model": "theirs"}')


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    """The adapter, with short patience."""
    upstream = HttpUpstream(IMPATIENT)
    yield upstream
    await upstream.close()


@pytest.fixture(scope="module")
def self_made_tls() -> ssl.SSLContext:
    """What a server shows for whom no public authority vouches."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(SELF_SIGNED)
    return context


def target(base_url: str) -> UpstreamTarget:
    """The way there."""
    return UpstreamTarget("main", f"{base_url}/v1", SecretStr("sk-ours"), "theirs", "m")


def answering(how: Callable[[Request], Awaitable[Response]]) -> Starlette:
    """A provider that answers chat requests this way."""
    return Starlette(routes=[Route("/v1/chat/completions", how, methods=["GET", "POST"])])


def saying(*pieces: bytes, ending: str = "closed") -> Callable[[Visit], Awaitable[None]]:
    """Answers with these bytes, then ends the connection."""

    async def answer(visit: Visit) -> None:
        for piece in pieces:
            await visit.say(piece)
            await asyncio.sleep(0)
        if ending == "reset":
            visit.reset()
        visit.writer.close()

    return answer


async def forever(visit: Visit) -> None:
    """Says nothing, as long as anybody listens."""
    await visit.until_they_hang_up()


async def ask(upstream: HttpUpstream, url: str, outgoing: Outgoing = QUESTION, door: Door = Door.CHAT) -> bytes:
    """One whole exchange, which ends by itself long before this test loses its patience."""
    async with asyncio.timeout(20), upstream.open(target(url), door, outgoing) as exchange:
        return await exchange.read()


class TestCarrying:
    async def test_brings_the_request_with_our_key_and_the_answer_back(self, upstream: HttpUpstream) -> None:
        async def echo(request: Request) -> Response:
            said = {
                "key": request.headers["authorization"],
                "type": request.headers["content-type"],
                "body": (await request.body()).decode(),
            }
            return JSONResponse(said, status_code=418, headers={"Retry-After": "12"})

        async with (
            serving(answering(echo)) as url,
            upstream.open(target(url), Door.CHAT, Outgoing(b"--b--", "multipart/form-data; boundary=b")) as exchange,
        ):
            body = await exchange.read()

        assert (exchange.status, exchange.content_type, exchange.retry_after_seconds) == (418, "application/json", 12)
        assert json.loads(body) == {
            "key": "Bearer sk-ours",
            "type": "multipart/form-data; boundary=b",
            "body": "--b--",
        }

    @pytest.mark.parametrize("door", list(Door))
    async def test_leads_each_door_to_the_same_path_at_the_provider(self, door: Door, upstream: HttpUpstream) -> None:
        async with raw_server(saying(WHOLE)) as server:
            await ask(upstream, server.url, door=door)

        assert server.heads[0].startswith(f"POST /v1/{door} HTTP/1.1\r\n".encode())

    async def test_brings_a_large_upload_whole(self, upstream: HttpUpstream) -> None:
        upload = bytes(range(256)) * (3 * 4096)

        async def checksum(request: Request) -> Response:
            return JSONResponse(zlib.crc32(await request.body()))

        async with serving(answering(checksum)) as url:
            assert json.loads(await ask(upstream, url, Outgoing(upload))) == zlib.crc32(upload)

    @pytest.mark.parametrize("wait", ["tomorrow", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999", "\u0661"])
    async def test_passes_on_only_a_plain_number_of_seconds(self, wait: str, upstream: HttpUpstream) -> None:
        head = f"HTTP/1.1 429 Busy\r\nRetry-After: {wait}\r\nContent-Length: 0\r\n\r\n".encode()

        async with (
            raw_server(saying(head)) as server,
            upstream.open(target(server.url), Door.CHAT, QUESTION) as exchange,
        ):
            assert (exchange.status, exchange.retry_after_seconds) == (429, None)

    async def test_does_not_follow_the_answer_elsewhere(self, upstream: HttpUpstream) -> None:
        seen: list[str] = []

        async def elsewhere(request: Request) -> Response:
            seen.append(request.url.path)
            return RedirectResponse("/v1/chat/completions?again")

        async with (
            serving(answering(elsewhere)) as url,
            upstream.open(target(url), Door.CHAT, QUESTION) as exchange,
        ):
            assert (exchange.status, len(seen)) == (307, 1)

    async def test_keeps_no_cookie_of_one_call_for_the_next(self, upstream: HttpUpstream) -> None:
        with_cookie = WHOLE.replace(b"\r\n\r\n", b"\r\nSet-Cookie: who=somebody; Path=/\r\n\r\n")

        async def answer(visit: Visit) -> None:
            await visit.say(with_cookie)

        async with raw_server(answer) as server:
            await ask(upstream, server.url)
            await ask(upstream, server.url)

        assert len(server.heads) == 2
        assert b"cookie" not in b"".join(server.heads).lower()

    async def test_asks_no_proxy_that_its_environment_names(
        self, upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, NOBODY)

        async with raw_server(saying(WHOLE)) as server:
            assert await ask(upstream, server.url) == b"{}"

    async def test_is_refused_while_a_transaction_is_open(self, upstream: HttpUpstream, begin: Begin) -> None:
        async with begin():
            with pytest.raises(AssertionError, match="transaction is open"):
                await ask(upstream, NOBODY)


class TestConnections:
    async def test_are_used_again_after_a_whole_answer(self, upstream: HttpUpstream) -> None:
        async def answer(visit: Visit) -> None:
            await visit.say(WHOLE)

        async with raw_server(answer) as server:
            for _ in range(3):
                await ask(upstream, server.url)

        assert (server.connections, len(server.heads)) == (1, 3)

    async def test_are_closed_when_the_rest_of_an_answer_is_not_wanted(self, upstream: HttpUpstream) -> None:
        hung_up = asyncio.Event()

        async def endless(visit: Visit) -> None:
            await visit.say(STREAM_HEAD + b"1\r\nx\r\n")
            await visit.until_they_hang_up()
            hung_up.set()

        async with raw_server(endless) as server:
            async with upstream.open(target(server.url), Door.CHAT, QUESTION) as exchange:
                assert await anext(exchange.chunks()) == b"x"

            await asyncio.wait_for(hung_up.wait(), timeout=5)

    async def test_that_were_closed_behind_our_back_do_not_make_a_request_go_out_twice(
        self, upstream: HttpUpstream
    ) -> None:
        async def answer_once_then_hang_up_on_the_next(visit: Visit) -> None:
            if len(server.heads) == 1:
                await visit.say(WHOLE)
            else:
                visit.reset()

        async with raw_server(answer_once_then_hang_up_on_the_next) as server:
            await ask(upstream, server.url)
            with pytest.raises(UpstreamBroken):
                await ask(upstream, server.url)

        assert (server.connections, len(server.heads)) == (1, 2)


class TestBeforeTheStatus:
    async def test_nobody_there_is_unreachable(self, upstream: HttpUpstream) -> None:
        with pytest.raises(UpstreamUnreachable):
            await ask(upstream, NOBODY)

    async def test_a_server_that_nobody_vouches_for_is_unreachable_and_never_sees_our_key(
        self, upstream: HttpUpstream, self_made_tls: ssl.SSLContext
    ) -> None:
        async with raw_server(saying(WHOLE), tls=self_made_tls) as server:
            with pytest.raises(UpstreamUnreachable):
                await ask(upstream, server.url)

        assert server.heads == []

    async def test_a_greeting_that_is_no_tls_is_unreachable(self, upstream: HttpUpstream) -> None:
        async with raw_server(forever) as server:
            with pytest.raises(UpstreamUnreachable):
                await ask(upstream, server.url.replace("http://", "https://"))

    async def test_no_free_connection_in_time_is_unreachable(self) -> None:
        narrow = HttpUpstream(SETTINGS.model_copy(update={"connections_max": 1, "connect_timeout_seconds": 0.5}))
        has_arrived = asyncio.Event()

        async def keep(visit: Visit) -> None:
            has_arrived.set()
            await visit.until_they_hang_up()

        async with raw_server(keep) as server:
            first = asyncio.create_task(ask(narrow, server.url))
            await asyncio.wait_for(has_arrived.wait(), timeout=5)
            with pytest.raises(UpstreamUnreachable):
                await ask(narrow, server.url)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        await narrow.close()

        assert len(server.heads) == 1

    async def test_silence_is_a_timeout(self, upstream: HttpUpstream) -> None:
        async with raw_server(forever) as server:
            with pytest.raises(UpstreamTimeout):
                await ask(upstream, server.url)

        assert len(server.heads) == 1

    async def test_a_head_that_comes_drop_by_drop_is_a_timeout(self, upstream: HttpUpstream) -> None:
        async def drip(visit: Visit) -> None:
            await visit.say(b"HTTP/1.1 200 OK\r\n")
            while True:
                await visit.say(b"X-More: and more\r\n")
                await asyncio.sleep(0.1)  # the provider is slow on purpose

        async with raw_server(drip) as server:
            with pytest.raises(UpstreamTimeout):
                await ask(upstream, server.url)

    @pytest.mark.parametrize(
        "said",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Ty", id="half a head"),
            pytest.param(b"220 mail.example ESMTP ready\r\n", id="another protocol"),
            pytest.param(b"\x16\x03\x01\x00\xff" * 20, id="garbage"),
            pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", id="no status"),
            pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", id="another language"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000 + b"\r\n\r\n", id="one long header"),
            pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 500 + b"\r\n", id="many headers"),
            pytest.param(b"HTTP/1.1 200 " + b"x" * 10_000 + b"\r\n\r\n", id="a long first line"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", id="two lengths"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", id="a negative length"),
        ],
    )
    @pytest.mark.parametrize("ending", ["closed", "reset"])
    async def test_anything_but_an_answer_is_broken_and_not_asked_again(
        self, said: bytes, ending: str, upstream: HttpUpstream
    ) -> None:
        async with raw_server(saying(said, ending=ending)) as server:
            with pytest.raises(UpstreamBroken):
                await ask(upstream, server.url)

        assert (server.connections, len(server.heads)) == (1, 1)


class TestInTheBody:
    @pytest.mark.parametrize(
        "said",
        [
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", id="none of it"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", id="half of it"),
            pytest.param(STREAM_HEAD + b"4\r\nhalf\r\n", id="no last chunk"),
            pytest.param(STREAM_HEAD + b"8\r\nhalf", id="half a chunk"),
            pytest.param(STREAM_HEAD + b"zz\r\nhalf\r\n", id="a chunk of no size"),
        ],
    )
    @pytest.mark.parametrize("ending", ["closed", "reset"])
    async def test_an_end_before_the_end_is_broken(self, said: bytes, ending: str, upstream: HttpUpstream) -> None:
        async with raw_server(saying(said, ending=ending)) as server:
            with pytest.raises(UpstreamBroken):
                await ask(upstream, server.url)

        assert len(server.heads) == 1

    async def test_what_came_before_a_break_is_handed_out_first(self, upstream: HttpUpstream) -> None:
        async with raw_server(saying(STREAM_HEAD + b"4\r\nhalf\r\n")) as server:
            got = bytearray()
            with pytest.raises(UpstreamBroken):
                async with upstream.open(target(server.url), Door.CHAT, QUESTION) as exchange:
                    async for chunk in exchange.chunks():
                        got += chunk

        assert got == b"half"

    async def test_silence_is_a_timeout(self, upstream: HttpUpstream) -> None:
        async def stop(visit: Visit) -> None:
            await visit.say(STREAM_HEAD + b"4\r\nhalf\r\n")
            await visit.until_they_hang_up()

        async with (
            raw_server(stop) as server,
            upstream.open(target(server.url), Door.CHAT, QUESTION) as exchange,
        ):
            chunks = exchange.chunks()
            assert await anext(chunks) == b"half"
            async with asyncio.timeout(20):
                with pytest.raises(UpstreamTimeout):
                    await anext(chunks)

    async def test_drops_within_the_patience_for_silence_end_with_the_time_for_a_call(self) -> None:
        hurried = HttpUpstream(IMPATIENT.model_copy(update={"total_timeout_seconds": 0.8}))

        async def drops() -> AsyncIterator[bytes]:
            for _ in range(30):
                yield b" "
                await asyncio.sleep(0.1)  # the provider is slow on purpose

        async def drip(_: Request) -> Response:
            return StreamingResponse(drops())

        async with serving(answering(drip)) as url:
            with pytest.raises(UpstreamTimeout):
                await ask(hurried, url)
        await hurried.close()

    async def test_more_than_we_read_is_broken(self, upstream: HttpUpstream) -> None:
        async def flood(_: Request) -> Response:
            return Response(b"x" * (REPLY_BYTES_MAX + 1))

        async with serving(answering(flood)) as url:
            with pytest.raises(UpstreamBroken):
                await ask(upstream, url)

    async def test_as_much_as_we_read_is_whole(self, upstream: HttpUpstream) -> None:
        async def much(_: Request) -> Response:
            return Response(b"x" * REPLY_BYTES_MAX)

        async with serving(answering(much)) as url:
            assert len(await ask(upstream, url)) == REPLY_BYTES_MAX


def packed(content: bytes, encoding: bytes = b"gzip") -> bytes:
    """An answer that came packed."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (encoding, len(content)) + content


class TestPackedAnswers:
    async def test_are_not_asked_for(self, upstream: HttpUpstream) -> None:
        async with raw_server(saying(WHOLE)) as server:
            await ask(upstream, server.url)

        assert b"accept-encoding: identity\r\n" in server.heads[0].lower()

    async def test_are_unpacked_where_they_come_all_the_same(self, upstream: HttpUpstream) -> None:
        async with raw_server(saying(packed(gzip.compress(b'{"a": 1}')))) as server:
            assert await ask(upstream, server.url) == b'{"a": 1}'

    async def test_that_swell_beyond_what_we_read_are_broken_before_they_fill_the_memory(self) -> None:
        bomb = packed(gzip.compress(b"0" * 200_000_000))
        roomy = HttpUpstream(IMPATIENT.model_copy(update={"reply_bytes_max": 1_000_000}))

        async with raw_server(saying(bomb)) as server:
            sizes: list[int] = []
            with pytest.raises(UpstreamBroken):
                async with roomy.open(target(server.url), Door.CHAT, QUESTION) as exchange:
                    async for chunk in exchange.chunks():
                        sizes.append(len(chunk))  # noqa: PERF401 - a comprehension would lose them when it breaks off
        await roomy.close()

        assert sum(sizes) <= 1_000_000
        assert max(sizes, default=0) <= 512 * 1024

    @pytest.mark.parametrize(
        ("content", "encoding"),
        [
            (b"not gzip at all", b"gzip"),
            (b"not deflate at all", b"deflate"),
            (b"\x00\x01\x02", b"br"),
            (b"\x00\x01\x02", b"zstd"),
        ],
    )
    async def test_that_cannot_be_unpacked_are_broken(
        self, content: bytes, encoding: bytes, upstream: HttpUpstream
    ) -> None:
        async with raw_server(saying(packed(content, encoding))) as server:
            with pytest.raises(UpstreamBroken):
                await ask(upstream, server.url)

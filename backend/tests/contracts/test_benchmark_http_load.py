"""The load generator reads whole answers and streams, refuses to measure refusals, and counts ranks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from backend.benchmarks import http_load
from backend.benchmarks.fake_upstream import FakeUpstream, Pace
from backend.benchmarks.http_load import BrokenAnswerError, percentile
from backend.tests.fakes.raw_server import Visit, raw_server

PACE = Pace(events=3, interval_seconds=0.001)


@asynccontextmanager
async def upstream() -> AsyncIterator[str]:
    """The fake provider, in this loop."""
    server = await asyncio.get_running_loop().create_server(lambda: FakeUpstream(PACE), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"


def saying(content: bytes) -> Callable[[Visit], Awaitable[None]]:
    """Answers with these bytes and hangs up."""

    async def answer(visit: Visit) -> None:
        await visit.say(content)
        visit.writer.close()

    return answer


class TestPercentiles:
    @pytest.mark.parametrize(("percent", "value"), [(1, 1), (50, 2), (51, 3), (99, 4), (100, 4)])
    def test_are_nearest_ranks(self, percent: float, value: float) -> None:
        assert percentile([1, 2, 3, 4], percent) == value

    def test_of_nothing_are_refused(self) -> None:
        with pytest.raises(ValueError, match="nothing"):
            percentile([], 50)


class TestAnswers:
    async def test_in_one_piece_are_read_to_their_end(self) -> None:
        async with upstream() as url:
            (answer,) = await http_load.one_by_one(url, [http_load.post(url, b"{}", key="k")])

        assert json.loads(answer.body)["usage"]["total_tokens"] == 46
        assert 0 < answer.first_seconds <= answer.whole_seconds

    async def test_that_stream_are_read_to_their_last_chunk(self) -> None:
        async with upstream() as url:
            request = http_load.post(url, b'{"stream": true}', key="k")
            answers = await http_load.all_at_once(url, [request] * 3)

        assert [answer.body.count(b"data:") for answer in answers] == [PACE.events + 3] * 3
        assert all(answer.first_seconds < answer.whole_seconds for answer in answers)

    async def test_come_as_fast_as_the_server_gives_them(self) -> None:
        async with upstream() as url:
            load = await http_load.load(url, [http_load.post(url, b"{}", key="k")], clients=2, seconds=0.05)

        assert load.rate > 0
        assert load.percentile(50) <= load.percentile(99)

    @pytest.mark.parametrize(
        "said",
        [
            b"HTTP/1.1 500 Broken\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
            b"",
        ],
        ids=["a refusal", "half an answer", "nothing"],
    )
    async def test_that_are_none_are_not_measured(self, said: bytes) -> None:
        async with raw_server(saying(said)) as server:
            with pytest.raises(BrokenAnswerError):
                await http_load.one_by_one(server.url, [http_load.post(server.url, b"{}", key="k")])

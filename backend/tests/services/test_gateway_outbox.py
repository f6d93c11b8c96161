"""The buffer between a provider's speed and a client's: bounded, in order, and never in the way of an end."""

from __future__ import annotations

import asyncio

from billing.gateway.outbox import Outbox


def outbox(*, bytes_max: int = 10, patience_seconds: float = 5.0) -> tuple[Outbox, list[str]]:
    """A buffer, and what it said about its client."""
    said: list[str] = []
    return Outbox(bytes_max=bytes_max, patience_seconds=patience_seconds, on_leave=lambda: said.append("left")), said


async def everything(box: Outbox) -> bytes:
    """What the client reads."""
    return b"".join([piece async for piece in box])


class TestWhatIsRead:
    async def test_is_what_was_written_in_its_order(self) -> None:
        box, said = outbox()
        reading = asyncio.create_task(everything(box))

        for piece in (b"one ", b"", b"two ", b"a piece that is larger than the whole buffer ", b"three "):
            await box.put(piece)
        box.close(b"end")

        assert await reading == b"one two a piece that is larger than the whole buffer three end"
        assert said == []

    async def test_may_be_nothing(self) -> None:
        box, _ = outbox()
        box.close()

        assert await everything(box) == b""

    async def test_before_its_end_may_come_late(self) -> None:
        box, _ = outbox()
        await box.put(b"one")
        box.close(b"end")

        assert await everything(box) == b"oneend"


class TestAFullBuffer:
    async def test_makes_the_writer_wait_until_something_is_read(self) -> None:
        box, _ = outbox()
        await box.put(b"x" * 10)
        writing = asyncio.create_task(box.put(b"y"))
        await asyncio.sleep(0)
        waited = not writing.done()

        first = await anext(aiter(box))
        await writing

        assert (waited, first) == (True, b"x" * 10)

    async def test_that_nobody_reads_counts_as_left(self) -> None:
        box, said = outbox(patience_seconds=0.01)
        await box.put(b"x" * 10)

        await box.put(b"y")

        assert (box.is_left, said) == (True, ["left"])

    async def test_takes_the_last_word_all_the_same(self) -> None:
        box, _ = outbox()
        await box.put(b"x" * 10)

        box.close(b"end")

        assert await everything(box) == b"x" * 10 + b"end"


class TestAClientWhoLeaves:
    async def test_is_noticed_once_and_nothing_is_kept_for_them(self) -> None:
        box, said = outbox()
        await box.put(b"x" * 10)

        box.leave()
        box.leave()
        await box.put(b"y" * 100)
        box.close(b"end")

        assert said == ["left"]
        assert await everything(box) == b""

    async def test_frees_a_writer_who_waits(self) -> None:
        box, _ = outbox(patience_seconds=3600)
        await box.put(b"x" * 10)
        writing = asyncio.create_task(box.put(b"y"))
        await asyncio.sleep(0)
        waited = not writing.done()

        box.leave()

        async with asyncio.timeout(5):
            await writing
        assert waited

    async def test_frees_a_reader_who_waits(self) -> None:
        box, _ = outbox()
        reading = asyncio.create_task(everything(box))
        await asyncio.sleep(0)

        box.leave()

        assert await reading == b""

    async def test_after_the_last_word_has_only_gone_home(self) -> None:
        box, said = outbox()
        box.close(b"end")
        await everything(box)

        box.leave()

        assert said == []

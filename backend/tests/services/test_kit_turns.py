"""Turns: few at once, in order, never for ever, and given back however a transaction ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from billing.kit.turns import AT_ONCE, Turns

KEY = "acc_1"


@pytest.fixture
def turns() -> Turns:
    return Turns(patience_seconds=30.0)


class Visitors:
    """Those who want a turn for the key, each until it is told to go."""

    def __init__(self, turns: Turns) -> None:
        self.served: list[int] = []
        self._turns = turns
        self._came = 0

    async def come(self) -> tuple[asyncio.Task[None], asyncio.Event]:
        """One more, who is served by now if there is a turn."""
        number, may_go, is_here = self._came, asyncio.Event(), asyncio.Event()
        self._came += 1

        async def visit() -> None:
            is_here.set()
            async with self._turns.at(KEY):
                self.served.append(number)
                await may_go.wait()

        visiting = asyncio.create_task(visit())
        await is_here.wait()
        return visiting, may_go


class TestTurns:
    async def test_one_more_than_may_waits_until_one_goes(self, turns: Turns) -> None:
        visitors = Visitors(turns)
        came = [await visitors.come() for _ in range(AT_ONCE + 1)]
        served_at_first = list(visitors.served)

        for visiting, may_go in came:
            may_go.set()
            await visiting

        assert served_at_first == list(range(AT_ONCE))
        assert visitors.served == list(range(AT_ONCE + 1))

    async def test_who_came_first_is_first(self, turns: Turns) -> None:
        visitors = Visitors(turns)
        came = [await visitors.come() for _ in range(AT_ONCE + 4)]

        for _, may_go in came:
            may_go.set()
        await asyncio.gather(*(visiting for visiting, _ in came))

        assert visitors.served == sorted(visitors.served)

    async def test_another_key_has_turns_of_its_own(self, turns: Turns) -> None:
        async with AsyncExitStack() as held:
            for _ in range(AT_ONCE):
                await held.enter_async_context(turns.at(KEY))

            async with turns.at("acc_2"):
                assert turns.keys_in_use == 2

    async def test_nobody_waits_for_ever(self) -> None:
        turns = Turns(patience_seconds=0.01)
        async with AsyncExitStack() as held:
            for _ in range(AT_ONCE + 1):
                await held.enter_async_context(turns.at(KEY))

        assert turns.keys_in_use == 0

    async def test_who_was_served_without_a_turn_gives_none_back(self) -> None:
        turns = Turns(patience_seconds=0.01)
        async with AsyncExitStack() as held:
            for _ in range(AT_ONCE):
                await held.enter_async_context(turns.at(KEY))
            async with turns.at(KEY):
                pass

            visitors = Visitors(turns)
            visiting, may_go = await visitors.come()
            served_at_once = list(visitors.served)
            may_go.set()
            await visiting

        assert served_at_once == []

    async def test_who_goes_away_while_waiting_takes_no_turn_along(self, turns: Turns) -> None:
        visitors = Visitors(turns)
        came = [await visitors.come() for _ in range(AT_ONCE + 1)]
        waiting, _ = came.pop()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        for visiting, may_go in came:
            may_go.set()
            await visiting

        assert turns.keys_in_use == 0
        async with AsyncExitStack() as held:
            for _ in range(AT_ONCE):
                await asyncio.wait_for(held.enter_async_context(turns.at(KEY)), timeout=5)

    async def test_a_transaction_that_fails_gives_its_turn_back(self, turns: Turns) -> None:
        for _ in range(AT_ONCE + 1):
            with pytest.raises(ZeroDivisionError):
                async with turns.at(KEY):
                    raise ZeroDivisionError

        assert turns.keys_in_use == 0

"""What stateful tests stand on: the real services in a database of their own, crashes at will, and a count of steps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from billing.kit.unit_of_work import Begin, UnitOfWork

# Making an example smaller takes minutes here, longer than a suite may; twenty steps can be read as they are.
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

Participant = Callable[[UnitOfWork], Awaitable[object]]

# Behind which participant of a transaction the process dies; behind the last one the commit has not happened, and one
# further it has, but nobody hears of it. None: it lives.
deaths = st.sampled_from([None, None, None, 0, 1, 2])


class DeathError(Exception):
    """The process is gone."""


@dataclass(frozen=True)
class Ground:
    """The real services in a database of their own, to be called from where no event loop runs."""

    runner: asyncio.Runner
    begin: Begin
    snapshot: Begin

    def run(self, *participants: Participant, death: int | None = None) -> Any:
        """Does the work in one transaction and answers what the first participant did.

        Where the process dies, whoever asked asks again.
        """
        try:
            return self.runner.run(self.once(participants, death))
        except DeathError:
            return self.runner.run(self.once(participants, None))

    async def once(self, participants: tuple[Participant, ...], death: int | None) -> Any:
        """The same without anybody who asks again."""
        answers = []
        async with self.begin() as uow:
            for position, participant in enumerate(participants):
                answers.append(await participant(uow))
                if death == position:
                    raise DeathError
        if death is not None:
            raise DeathError
        return answers[0]


@dataclass
class Tally:
    """How much a machine has really done, so that it cannot do less without anybody noticing."""

    examples: int = 0
    steps: int = 0


def run_machine(machine: type[RuleBasedStateMachine], *, shard: int, share: int = 1) -> None:
    """Runs the machine as the profile says, on a chance of its own: shards of one machine see different examples.

    A machine whose steps go over the network makes only a share of them: half of them with 2.
    """
    examples, steps, _ = _DILIGENCE[settings.get_current_profile_name()]
    how = settings(phases=_PHASES, derandomize=False, max_examples=examples, stateful_step_count=steps // share)
    run_state_machine_as_test(seed(shard)(machine), settings=how)


# By profile and in each shard: how many examples, how many steps each at the most, and how many in all at the least.
# Four shards of wallets and two of quotas are 210 examples before a merge, and 6 000 steps and more before a release.
_DILIGENCE = {"quick": (35, 15, 250), "heavy": (40, 50, 1000), "thorough": (1000, 60, 20_000)}


def require_diligence(tally: Tally, *, share: int = 1) -> None:
    """Fails where fewer examples or steps were done than the profile in force promises."""
    examples_min, _, steps_min = _DILIGENCE[settings.get_current_profile_name()]
    assert tally.examples >= examples_min, tally
    assert tally.steps >= steps_min // share, tally

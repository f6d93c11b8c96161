"""What stateful tests stand on: the real services in a database of their own, crashes at will, and a count of steps."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
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
    happened: Counter[str] = field(default_factory=Counter)
    """What its examples have come through, and how often."""


@dataclass(frozen=True)
class Diligence:
    """How many examples, how many steps each of them has at the most, and how many all have at the least."""

    examples: int
    steps_each: int
    steps: int


Profiles = Mapping[str, Diligence]
"""By the name of the profile in force, and for each shard."""

# Four shards of wallets and two of quotas are 210 examples before a merge, and 6 000 steps and more before a release.
IN_THE_DATABASE: Profiles = MappingProxyType(
    {"quick": Diligence(35, 15, 250), "heavy": Diligence(40, 50, 1000), "thorough": Diligence(1000, 60, 20_000)}
)
# An example's story comes before its steps, and each step is several calls over HTTP.
OVER_THE_NETWORK: Profiles = MappingProxyType(
    {"quick": Diligence(14, 3, 30), "heavy": Diligence(100, 10, 500), "thorough": Diligence(1000, 12, 4000)}
)


def run_machine(machine: type[RuleBasedStateMachine], *, shard: int, profiles: Profiles = IN_THE_DATABASE) -> None:
    """Runs the machine as the profile says, on a chance of its own: shards of one machine see different examples."""
    wanted = profiles[settings.get_current_profile_name()]
    how = settings(
        phases=_PHASES, derandomize=False, max_examples=wanted.examples, stateful_step_count=wanted.steps_each
    )
    run_state_machine_as_test(seed(shard)(machine), settings=how)


def require_diligence(
    tally: Tally, *, profiles: Profiles = IN_THE_DATABASE, in_ten: Mapping[str, int] = MappingProxyType({})
) -> None:
    """Fails where fewer examples or steps were done than the profile in force promises, or where nothing came of them.

    `in_ten` says what must have happened, and how often at the least in ten examples.
    """
    wanted = profiles[settings.get_current_profile_name()]
    assert tally.examples >= wanted.examples, tally
    assert tally.steps >= wanted.steps, tally
    rare = {what for what, least in in_ten.items() if tally.happened[what] * 10 < least * tally.examples}
    assert not rare, tally

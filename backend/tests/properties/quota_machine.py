"""The free quota of two people, one of them with two accounts, beside an aunt who counts notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backend.tests.builders.quotas import FREE_MODEL, TTL, Somebody, quota_service
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.fakes.clock import StoppedClock
from backend.tests.properties.allowance import Aunt, RefusedError
from backend.tests.properties.ground import DeathError, Ground, Tally, deaths
from billing.customers.rules import AccountId
from billing.kit.errors import BillingError
from billing.kit.ids import Ids
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.invariants import QuotaVerifier
from billing.quotas.rules import Amounts, FreeStanding, FreeTerms, Metric, Reserved

_LIMITS = st.sampled_from([0, 3, 8, 20])
_WAITS = [timedelta(seconds=1), TTL, timedelta(days=1), timedelta(days=1) - TTL, timedelta(days=40)]
which = st.integers(0, 3)  # back from the latest

amounts = st.builds(
    Amounts, input_tokens=st.integers(0, 4), output_tokens=st.integers(0, 4), images=st.sampled_from([0, 0, 1])
)


def counts_of(some: Amounts) -> dict[str, int]:
    """The amounts as the aunt writes them."""
    return {metric.value: some.of(metric) for metric in Metric if some.of(metric)}


class QuotaMachine(RuleBasedStateMachine):
    """Calls of three accounts, across cycles and changes of the terms, with deaths of the process between."""

    ground: ClassVar[Ground]
    tally: ClassVar[Tally]

    def __init__(self) -> None:
        super().__init__()
        self.clock = StoppedClock()
        self.ids = Ids(self.clock)
        self.aunt = Aunt(TTL)
        self.calls: list[str] = []
        self.people: dict[AccountId, str] = {}
        self.tally.examples += 1

    # ---- what happens -----------------------------------------------------------------------------------------------

    @initialize(limit=st.sampled_from([8, 20]), days=st.integers(1, 2))
    def open(self, limit: int, days: int) -> None:
        """Two people, one of them with two accounts, and something that is free."""
        wallets = build_wallets(self.ground.begin, self.clock, self.ids)
        accounts = [AccountId(self.ground.runner.run(wallets.account())) for _ in range(3)]
        self.people = dict(zip(accounts, (accounts[0], accounts[0], accounts[2]), strict=True))
        self.service = quota_service(
            self.ground.begin,
            self.clock,
            self.ids,
            people=Somebody({str(account): person for account, person in self.people.items()}),
        )
        self.terms(is_enabled=True, days=days, text=limit, images=1, death=None)
        for account in range(3):
            self.reserve(account, Amounts(input_tokens=2, output_tokens=1), None)

    @rule(
        is_enabled=st.sampled_from([True, True, True, False]),
        days=st.integers(1, 3),
        text=_LIMITS,
        images=_LIMITS,
        death=deaths,
    )
    def terms(self, *, is_enabled: bool, days: int, text: int, images: int, death: int | None) -> None:
        """Other terms are in force, for running cycles too."""
        limits = Amounts(input_tokens=text, output_tokens=text, images=images)
        terms = FreeTerms(is_enabled, days, limits, frozenset({FREE_MODEL}))
        self.ground.run(lambda uow: self.service.set_terms(uow, terms), death=death)
        self.aunt.is_enabled, self.aunt.cycle = is_enabled, timedelta(days=days)
        self.aunt.limits = counts_of(limits)

    @rule(account=st.integers(0, 2), wanted=amounts, death=deaths)
    def reserve(self, account: int, wanted: Amounts, death: int | None) -> None:
        """A call asks to be free. Where the process dies nobody asks again: the next call is another one."""
        account_id, call, now = list(self.people)[account], self.ids.new("opr"), self.clock.now()

        async def work(uow: UnitOfWork) -> bool:
            answer = await self.service.reserve(uow, account_id, call, wanted, model=FREE_MODEL)
            return isinstance(answer, Reserved)

        if death == 0:
            with pytest.raises(DeathError):
                self.ground.runner.run(self.ground.once((work,), death))
            return
        is_free = self.ground.runner.run(self.ground.once((work,), None))
        assert is_free == self.aunt.reserve(self.people[account_id], call, counts_of(wanted), now)
        if is_free:
            self.calls.append(call)

    @precondition(lambda self: self.calls)
    @rule(which=which, used=amounts, death=deaths)
    def finalise(self, which: int, used: Amounts, death: int | None) -> None:
        """A call used something, perhaps more than was set aside, perhaps after it was given up, perhaps told twice."""
        call = self._call(which)
        with self.refused_alike(lambda: self.aunt.count(call, counts_of(used))):
            self.ground.run(lambda uow: self.service.finalise(uow, call, used), death=death)

    @precondition(lambda self: self.calls)
    @rule(which=which, death=deaths)
    def release(self, which: int, death: int | None) -> None:
        """A call came to nothing."""
        call = self._call(which)
        with self.refused_alike(lambda: self.aunt.release(call)):
            self.ground.run(lambda uow: self.service.release(uow, call), death=death)

    @precondition(lambda self: self.calls)
    @rule(which=which, death=deaths)
    def renew(self, which: int, death: int | None) -> None:
        """A call still runs."""
        call, now = self._call(which), self.clock.now()
        self.ground.run(lambda uow: self.service.renew(uow, call), death=death)
        self.aunt.renew(call, now)

    @precondition(lambda self: self.calls)
    @rule()
    def lose(self) -> None:
        """Nobody ends a call in time, and the sweeper gives it up."""
        self.clock.move(TTL)
        self.sweep()

    @precondition(lambda self: self.aunt.has_overdue(self.clock.now()))
    @rule()
    def sweep(self) -> None:
        """The sweeper comes by."""
        self.ground.runner.run(self.service.sweep())
        self.aunt.sweep(self.clock.now())

    @rule(wait=st.sampled_from(_WAITS))
    def let_time_pass(self, wait: timedelta) -> None:
        """So much time passes; cycles and reservations often end at that very moment."""
        self.clock.move(wait)

    @rule()
    def let_the_cycle_end(self) -> None:
        """Time passes until the very moment at which the first person's running cycle is over."""
        _, resets_at = self.aunt.standing(next(iter(self.people.values())), self.clock.now())
        if resets_at is not None:
            self.clock.move(resets_at - self.clock.now())

    # ---- what must be true after every step -------------------------------------------------------------------------

    @invariant()
    def stands_as_the_aunt_counts(self) -> None:
        """Each account is told what its person has used, set aside and left, and when that begins anew (G9)."""
        if not self.people:
            return
        self.tally.steps += 1
        for account_id, person in self.people.items():
            standing = self.ground.run(partial(self._standing, account_id))
            told = {one.metric.value: (one.limit, one.used, one.reserved) for one in standing.metrics}
            assert (told, standing.resets_at) == self.aunt.standing(person, self.clock.now())

    @invariant()
    def the_checker_finds_no_drift(self) -> None:
        """Counters are the sum of their notes, in every cycle that ever was."""
        assert self.ground.runner.run(self._drifts()) == ()

    def teardown(self) -> None:
        """What one example leaves open is not the next one's concern."""
        self.clock.move(timedelta(days=1))
        if self.people:
            self.ground.runner.run(self.service.sweep())

    def _call(self, which: int) -> str:
        return self.calls[-1 - which % len(self.calls)]

    async def _standing(self, account_id: AccountId, uow: UnitOfWork) -> FreeStanding:
        return await self.service.standing(uow, account_id)

    async def _drifts(self) -> tuple[object, ...]:
        async with self.ground.snapshot() as view:
            return await QuotaVerifier().drifts(view)

    @contextmanager
    def refused_alike(self, aunt: Callable[[], None]) -> Iterator[None]:
        """The aunt refuses exactly what the service refuses."""
        try:
            yield
        except BillingError:
            with pytest.raises(RefusedError):
                aunt()
        else:
            aunt()

"""Whatever happens to a free quota, across cycles and changes of its terms, it is what its notes add up to."""

from __future__ import annotations

import pytest

from backend.tests.properties.ground import Ground, Tally, require_diligence, run_machine
from backend.tests.properties.quota_machine import QuotaMachine


class TestFreeQuotas:
    @pytest.mark.timeout(900)  # the thorough profile takes its time
    @pytest.mark.slow
    @pytest.mark.money
    @pytest.mark.parametrize("shard", range(2))  # each is a test of its own, so that workers share them
    def test_a_free_quota_stands_as_an_aunt_counts(self, ground: Ground, shard: int) -> None:
        class Machine(QuotaMachine):
            pass

        Machine.ground, Machine.tally = ground, Tally()
        run_machine(Machine, shard=shard)

        require_diligence(Machine.tally)

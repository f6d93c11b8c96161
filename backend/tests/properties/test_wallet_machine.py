"""Whatever happens to a wallet, in whatever order, it stands as a purse full of coins would, and its books agree."""

from __future__ import annotations

import pytest

from backend.tests.properties.ground import Ground, Tally, require_diligence, run_machine
from backend.tests.properties.wallet_machine import WalletMachine


class TestWallets:
    @pytest.mark.timeout(900)  # the thorough profile takes its time
    @pytest.mark.slow
    @pytest.mark.money
    @pytest.mark.parametrize("shard", range(4))  # each is a test of its own, so that workers share them
    def test_a_wallet_stands_like_a_purse_full_of_coins(self, ground: Ground, shard: int) -> None:
        class Machine(WalletMachine):
            pass

        Machine.ground, Machine.tally = ground, Tally()
        run_machine(Machine, shard=shard)

        require_diligence(Machine.tally)

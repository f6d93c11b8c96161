"""Each way a paid call can go, with what stands in the books, in the record of usage and in the answer afterwards."""

from __future__ import annotations

import pytest

from backend.tests.builders.gateway import Gate, Provider, chat
from backend.tests.builders.wallets import rub
from billing.usage.rules import BillingSource

pytestmark = pytest.mark.money


class TestPayAsYouGo:
    async def test_a_call_is_charged_what_it_used(self, gate: Gate, provider: Provider) -> None:
        payer = await gate.payer("100")

        answer = await gate.ask(payer, chat())

        after = await gate.accounts(payer)
        usage = answer.body["usage"]
        price = rub("0.000060").micros * usage["prompt_tokens"] + rub("0.000240").micros * usage["completion_tokens"]
        assert (answer.status, answer.charged.micros, answer.billing_source) == (200, price, BillingSource.PAYG)
        assert after.charges == [answer.charged]
        assert (after.balance.available, after.balance.held) == (rub("100") - answer.charged, rub("0"))
        assert answer.balance == after.balance.available
        assert [event.charged for event in after.events] == [answer.charged]
        assert after.drifts == ()
        assert len(await provider.calls()) == 1

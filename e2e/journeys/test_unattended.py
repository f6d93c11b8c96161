"""What becomes of my money while I do something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from testkit.actors.customer import Customer
from testkit.pages.balance import BalancePage
from testkit.simulators.receiver import OPERATION, create_receiver
from testkit.simulators.remote import ReceiverRemote
from testkit.simulators.server import running
from testkit.stack.site import Site
from testkit.stack.stack import OPERATOR, Stack
from testkit.waiting import until

pytestmark = pytest.mark.slow  # they wait for the worker's own rounds, which every push has no time for

TOPPED_UP_WITHIN_SECONDS = 50
"""Every half minute of the machine's own time the worker looks for wallets below their threshold."""
TOLD_WITHIN_SECONDS = 30
"""Every five seconds it looks for what is to be sent."""


@pytest.fixture
def receiver() -> Iterator[ReceiverRemote]:
    """A server of the customer's."""
    with running(create_receiver()) as server, ReceiverRemote(server.url) as remote:
        yield remote


class TestMyBalanceFallsBelowMyThreshold:
    def test_my_saved_card_is_charged_once_and_my_wallet_shows_it(
        self,
        signed_in_page: Page,
        site: Site,
        customer: Customer,
        stack: Stack,
        picture: Callable[[str], Path],
    ) -> None:
        customer.top_up("500.00", saves_method=True)
        agreed = customer.agree_to_auto_topup(threshold="450.00", amount="500.00", monthly_limit="2000.00")
        call = customer.use(stack.model, model="demo-large", input_tokens=8_000, output_tokens=15_000)
        assert (agreed["is_on"], agreed["in_flight"]) == (True, None)
        assert call.charged is not None
        assert call.available is not None
        assert call.available < Decimal(450)

        topped_up = Decimal(1000) - call.charged
        assert until(topped_up, customer.available, within_seconds=TOPPED_UP_WITHIN_SECONDS) == topped_up

        balance = BalancePage(signed_in_page, site)
        balance.open()
        expect(balance.wallet.figure("Available")).to_have_text(f"RUB {topped_up:.2f}")
        expect(balance.activity.lines).to_have_count(3)
        picture("topped up by itself")
        assert customer.auto_topup()["charged"]["amount"] == "500.00"


class TestTheShopGivesMoneyBack:
    def test_it_leaves_my_wallet_and_goes_to_my_bank(
        self, signed_in_page: Page, site: Site, customer: Customer, stack: Stack, picture: Callable[[str], Path]
    ) -> None:
        payment_id = customer.top_up("500.00")
        refunds_before = len(stack.provider.refunds())
        order = [payment_id, "--amount", "200.00", "--currency", "RUB", "--operator", OPERATOR, "--reason", "as agreed"]

        stack.run_command("payments", "refund", *order)

        balance = BalancePage(signed_in_page, site)
        balance.open()
        expect(balance.wallet.figure("Available")).to_have_text("RUB 300.00")
        expect(balance.activity.lines).to_have_count(2)
        expect(balance.activity.lines.first).to_contain_text("Refund")
        picture("after the refund")
        assert len(stack.provider.refunds()) == refunds_before + 1


class TestMyServerIsTold:
    def test_of_my_top_up_in_a_message_that_only_the_shop_could_have_signed(
        self, customer: Customer, receiver: ReceiverRemote
    ) -> None:
        secret = customer.receive_webhooks_at(f"{receiver.url}/billing", "topup.credited")

        payment_id = customer.top_up("500.00")
        receiver.calls(OPERATION, at_least=1, within_seconds=TOLD_WITHIN_SECONDS, has_ended=True)

        (message,) = receiver.messages()
        told = Webhook(secret).verify(message["text"], message["headers"])
        assert (message["path"], told["type"]) == ("/billing", "topup.credited")
        assert {name: told["data"][name] for name in ("subject", "amount", "currency")} == {
            "subject": payment_id,
            "amount": "500.00",
            "currency": "RUB",
        }
        inflated = json.dumps({**told, "data": {**told["data"], "amount": "5000.00"}})
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(inflated, message["headers"])

"""I watch an answer being written, and pay for what was written, whatever becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from testkit.actors.customer import Customer
from testkit.pages.balance import BalancePage
from testkit.simulators.deliveries import Delivery, Insertion
from testkit.simulators.faults import Fault, FaultKind
from testkit.stack.site import Site
from testkit.stack.stack import Stack
from testkit.waiting import until

SECONDS_UNTIL_A_LOST_STREAM_IS_BILLED = 60
FLOOD = 'data: {"choices": [{"index": 0, "delta": {"content": "%s"}, "finish_reason": null}]}\n\n' % ("word " * 900)


def delivered(delivery: Delivery) -> Fault:
    return Fault(kind=FaultKind.DELIVERED, operation="create_chat_completion", delivery=delivery)


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The events of a stream that are JSON."""
    for line in lines:
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


class TestAnAnswerIsWrittenWhileIWatch:
    def test_its_money_is_set_aside_and_at_the_end_i_pay_what_it_cost(
        self,
        signed_in_page: Page,
        site: Site,
        customer: Customer,
        stack: Stack,
        picture: Callable[[str], Path],
    ) -> None:
        customer.top_up("500.00")
        stack.model.plan(delivered(Delivery(pause_after_events=(5,))))
        balance = BalancePage(signed_in_page, site)

        with customer.stream("demo-large") as answer:
            parts = events(answer.iter_lines())
            written = [next(parts) for _ in range(5)]
            balance.open()
            expect(balance.wallet.figure("Held")).not_to_have_text("RUB 0.00")
            expect(balance.wallet.figure("Available")).not_to_have_text("RUB 500.00")
            picture("while it is written")
            stack.model.resume()
            *_, last = [*written, *parts]

        charged = Decimal(last["billing"]["charged"])
        usage = last["usage"]
        assert charged == usage["prompt_tokens"] * Decimal("0.0009") + usage["completion_tokens"] * Decimal("0.0036")
        assert customer.available() == Decimal(500) - charged
        balance.open()
        expect(balance.wallet.figure("Held")).to_have_text("RUB 0.00")
        expect(balance.activity.lines.first).to_contain_text("demo-large")
        picture("afterwards")


class TestMyMoneyRunsOutWhileAnAnswerIsWritten:
    def test_it_stops_and_says_so_and_after_a_top_up_i_go_on(self, customer: Customer, stack: Stack) -> None:
        customer.top_up("100.00")
        flood = Insertion(after_events=3, text=FLOOD * 40)
        stack.model.plan(delivered(Delivery(insertions=(flood,))))

        with customer.stream("demo-large") as answer:
            parts = list(events(answer.iter_lines()))

        (stopped,) = [part for part in parts if "stopped" in part.get("billing", {})]
        assert stopped["billing"]["stopped"]["code"] == "insufficient_funds"
        assert stopped["choices"][0]["finish_reason"] == "length"
        assert len(parts) < 40
        (row,) = customer.usage()
        assert Decimal(row["charged"]["amount"]) == Decimal(stopped["billing"]["charged"]) > 85
        assert customer.call("demo-large").error_code == "insufficient_funds"
        customer.top_up("100.00")
        assert customer.call("demo-large").status == 200


@pytest.mark.slow
@pytest.mark.timeout(150)  # starts a product of its own, on a machine that may have other work
class TestTheGatewayDiesWhileAnAnswerIsWritten:
    def test_what_i_got_is_billed_once_though_nobody_remembers_it(
        self, record_property: Callable[[str, object], None]
    ) -> None:
        settings = {"BILLING_STREAM_LEASE_SECONDS": "1", "BILLING_CHECKPOINT_SECONDS": "0.1"}
        with (
            Stack.start(settings=settings) as stack,
            Customer(stack.site, stack.take_customer(), stack.provider) as customer,
        ):
            customer.top_up("500.00")
            stack.model.plan(delivered(Delivery(pause_after_events=(3,))))

            with customer.stream("demo-large") as answer:
                parts = events(answer.iter_lines())
                written = [next(parts) for _ in range(3)]
                stack.kill_server()
                with pytest.raises(httpx.TransportError):
                    list(parts)
            stack.start_server_again()
            billed = until(1, lambda: len(customer.usage()), within_seconds=SECONDS_UNTIL_A_LOST_STREAM_IS_BILLED)
            stack.require_alive()

            assert (len(written), billed) == (3, 1)
            (row,) = customer.usage()
            charged = Decimal(row["charged"]["amount"])
            assert (row["estimate_reason"], row["quantities"]["output_tokens"] > 0) == ("gateway_lost", True)
            figures = customer.wallet()
            assert figures.available == Decimal(500) - charged
            assert figures.held == figures.debt == 0
            after = customer.call("demo-large")
            assert after.charged is not None
            assert (len(customer.usage()), after.available) == (2, Decimal(500) - charged - after.charged)
            books = stack.verify_books()
            record_property("ledger_verified", books.are_right)
            assert books.are_right, books.report

"""How calls to Stripe can end, and what is not guessed at, over real HTTP."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backend.tests.builders.stripe import ACCOUNT_ID, SECRET_KEY, SimulatedStripe, a_refund, usd
from billing.payments.adapters.calls import Budget
from billing.payments.adapters.stripe import StripeProvider
from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderFailure,
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRefusedUs,
    ProviderRejected,
    ProviderUnavailable,
)
from billing.payments.ports import PaymentOrder
from billing.payments.rules import (
    ProviderPaymentId,
)


@asynccontextmanager
async def connected(api_url: str) -> AsyncIterator[StripeProvider]:
    """An adapter to any address, without repetitions, closed at the end."""
    budget = Budget(connect_seconds=1.0, total_seconds=3.0, retries_max=0, first_wait_seconds=0.001)
    provider = StripeProvider(
        account_id=ACCOUNT_ID, secret_key=SECRET_KEY, api_url=api_url, is_test=True, budget=budget
    )
    try:
        yield provider
    finally:
        await provider.aclose()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The address of a server that gives every request the same answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http_answer(status: int, body: bytes, *headers: bytes) -> bytes:
    """A whole answer as it travels."""
    head = [f"HTTP/1.1 {status} Whatever".encode(), b"Connection: close", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*head, b"", body])


class TestWhatMakesNoSense:
    @pytest.mark.parametrize(
        "changes",
        [
            {"id": "../refunds"},
            {"id": None},
            {"status": "nearly_complete"},
            {"status": "complete"},
            {"amount_total": "500"},
            {"amount_total": None},
            {"currency": "dollars"},
            {"livemode": None},
            {"livemode": "false"},
            {"created": 10**18},
            {"url": "javascript:alert(1)"},
            {"metadata": ["payment_id"]},
            {"payment_intent": {"id": "pi_1"}},
        ],
    )
    async def test_is_not_guessed_at(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder, changes: dict[str, Any]
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.go_wrong("altered", "get_payment", changes=changes, times=3)

        with pytest.raises(ProviderMalformed):
            await provider.get_payment(begun.id)

    @pytest.mark.parametrize("changes", [{"status": "somewhere"}, {"amount": "1"}, {"currency": None}])
    async def test_holds_for_refunds_too(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder, changes: dict[str, Any]
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        refund = await provider.refund(a_refund(begun.id))
        await backstage.go_wrong("altered", "get_refund", changes=changes)

        with pytest.raises(ProviderMalformed):
            await provider.get_refund(refund.id)

    @pytest.mark.parametrize("changes", [{"status": "sunk"}, {"latest_charge": {"disputed": None}}])
    async def test_holds_for_intents_too(
        self, provider: StripeProvider, backstage: SimulatedStripe, changes: dict[str, Any]
    ) -> None:
        payment_id = await backstage.reserved(usd("5"))
        await backstage.go_wrong("altered", "get_intent", changes=changes)

        with pytest.raises(ProviderMalformed):
            await provider.get_payment(payment_id)


class TestHowACallEnds:
    @pytest.mark.parametrize(
        ("status", "answer"),
        [
            (400, ProviderRejected),
            (401, ProviderRefusedUs),
            (402, ProviderRejected),
            (403, ProviderRefusedUs),
            (404, ProviderObjectUnknown),
            (408, ProviderUnavailable),
            (409, ProviderUnavailable),
            (424, ProviderRejected),
            (500, ProviderUnavailable),
            (503, ProviderUnavailable),
            (599, ProviderUnavailable),
        ],
    )
    @pytest.mark.parametrize("body", [b'{"error": {"type": "x"}}', b'{"error": "x"}', b"[1]", b"<html>", b""])
    async def test_a_question_ends_by_its_status_whatever_the_body_looks_like(
        self, status: int, answer: type[ProviderFailure], body: bytes
    ) -> None:
        async with answering(http_answer(status, body)) as url, connected(url) as provider:
            with pytest.raises(answer):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    @pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
    async def test_a_change_without_a_clear_answer_is_ambiguous(
        self, impatient: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder, status: int
    ) -> None:
        await backstage.go_wrong("refused", "create_payment", status=status)

        with pytest.raises(ProviderAmbiguous):
            await impatient.create_payment(order)

    async def test_a_change_of_what_there_is_not_is_a_rejection(self, provider: StripeProvider) -> None:
        with pytest.raises(ProviderRejected):
            await provider.capture(ProviderPaymentId("pi_nobodys"), usd("5"), key="capture-nobodys")

    @pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"{", b"", b"\xff"])
    async def test_an_answer_that_is_no_object_is_malformed(self, body: bytes) -> None:
        async with answering(http_answer(200, body)) as url, connected(url) as provider:
            with pytest.raises(ProviderMalformed):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    @pytest.mark.parametrize("body", [b"{}", b'{"id": {}}', b'{"object": "list", "data": 1}', b'{"metadata": 1}'])
    async def test_an_object_of_another_shape_is_malformed(self, body: bytes) -> None:
        async with answering(http_answer(200, body)) as url, connected(url) as provider:
            with pytest.raises(ProviderMalformed):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    async def test_a_redirection_is_malformed_and_not_followed(self) -> None:
        location = b"Location: http://127.0.0.1:1/v1/checkout/sessions/cs_1"
        async with answering(http_answer(302, b"{}", location)) as url, connected(url) as provider:
            with pytest.raises(ProviderMalformed):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    async def test_an_answer_without_end_is_cut_off(self) -> None:
        async with answering(http_answer(200, b" " * (2 * 1024 * 1024))) as url, connected(url) as provider:
            with pytest.raises(ProviderMalformed, match="larger"):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    async def test_nobody_there_is_an_outage_even_for_a_change(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
            async with connected(f"http://127.0.0.1:{taken.getsockname()[1]}") as provider:
                with pytest.raises(ProviderUnavailable):
                    await provider.capture(ProviderPaymentId("pi_1"), usd("5"), key="capture-nowhere")

    @pytest.mark.parametrize("are_repeated", [False, True], ids=["once", "repeated"])
    async def test_nothing_that_the_provider_wrote_is_shown(
        self,
        provider: StripeProvider,
        impatient: StripeProvider,
        backstage: SimulatedStripe,
        order: PaymentOrder,
        *,
        are_repeated: bool,
    ) -> None:
        await backstage.go_wrong("server_error", "create_payment", times=5)

        with pytest.raises(ProviderFailure) as failed:
            await (provider if are_repeated else impatient).create_payment(order)

        assert "Planned by the simulator" not in "".join(traceback.format_exception(failed.value))

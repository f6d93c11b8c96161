"""Our YooKassa adapter against the simulated provider over real HTTP: what it sends, and how each call can end."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from backend.tests.builders.wallets import rub
from backend.tests.builders.yookassa import SECRET_KEY, SHOP_ID, SimulatedYookassa
from billing.kit.unit_of_work import Begin
from billing.payments.adapters.calls import Budget
from billing.payments.adapters.yookassa import YookassaProvider
from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderFailure,
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRateLimited,
    ProviderRefusedUs,
    ProviderRejected,
    ProviderUnavailable,
)
from billing.payments.ports import PaymentOrder, ProviderPayment
from billing.payments.rules import Cancellation, ProviderPaymentId, ProviderStatus

UNKNOWN = ProviderPaymentId("22e12f66-000f-5000-8000-18db351245c7")


@asynccontextmanager
async def connected(
    api_url: str, *, secret_key: str = SECRET_KEY, total_seconds: float = 3.0, retries_max: int = 2
) -> AsyncIterator[YookassaProvider]:
    """An adapter to any address, closed at the end."""
    provider = YookassaProvider(
        shop_id=SHOP_ID,
        secret_key=secret_key,
        api_url=api_url,
        is_test=True,
        budget=Budget(
            connect_seconds=1.0, total_seconds=total_seconds, retries_max=retries_max, first_wait_seconds=0.001
        ),
    )
    try:
        yield provider
    finally:
        await provider.aclose()


class TestWhatItSends:
    async def test_is_what_the_provider_documents(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        await provider.create_payment(order)

        (call,) = await yookassa.calls("create_payment")
        assert (call["method"], call["path"], call["query"]) == ("POST", "/v3/payments", "")
        assert call["headers"]["idempotence-key"] == order.key
        assert call["headers"]["content-type"] == "application/json"
        assert call["body"] == {
            "amount": {"value": "500.00", "currency": "RUB"},
            "capture": True,
            "confirmation": {"type": "redirect", "return_url": order.return_url},
            "description": order.description,
            "metadata": {"payment_id": order.payment_id, "account_id": "acc_1", "purpose": "topup"},
        }

    async def test_names_the_shop_by_basic_authentication(self) -> None:
        asked: list[bytes] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connected(f"http://127.0.0.1:{port}/v3/") as provider:
                with pytest.raises(ProviderObjectUnknown):
                    await provider.get_payment(UNKNOWN)

        pair = b64encode(f"{SHOP_ID}:{SECRET_KEY}".encode())
        assert asked[0].startswith(f"GET /v3/payments/{UNKNOWN} HTTP/1.1\r\n".encode())
        assert b"authorization: basic " + pair.lower() in asked[0].lower()

    @pytest.mark.parametrize("forged", ["../refunds", "a?b=c", "a/b", "%2e%2e", ""])
    async def test_never_lets_a_forged_id_into_a_url(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, forged: str
    ) -> None:
        with pytest.raises(ProviderMalformed):
            await provider.get_payment(ProviderPaymentId(forged))

        assert await yookassa.calls("get_payment") == []

    async def test_waits_for_nobody_inside_a_transaction(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, begin: Begin
    ) -> None:
        with pytest.raises(AssertionError, match="a database transaction is open"):
            async with begin():
                await provider.get_payment(UNKNOWN)

        assert await yookassa.calls("get_payment") == []


class TestWhatItUnderstands:
    async def test_a_payment_that_waits(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)

        (payment,) = await yookassa.payments()
        assert begun == ProviderPayment(
            id=ProviderPaymentId(payment["id"]),
            shop_id=SHOP_ID,
            is_test=True,
            status=ProviderStatus.PENDING,
            is_paid=False,
            amount=rub("500"),
            payment_id=order.payment_id,
            account_id="acc_1",
            purpose="topup",
            confirmation_url=payment["confirmation"]["confirmation_url"],
            cancellation=None,
            created_at=datetime.fromisoformat(payment["created_at"]),
        )

    async def test_a_paid_payment(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await yookassa.pay(begun.id)

        paid = await provider.get_payment(begun.id)

        assert (paid.status, paid.is_paid, paid.confirmation_url) == (ProviderStatus.SUCCEEDED, True, None)

    @pytest.mark.parametrize(("end", "why"), [("decline", Cancellation.DECLINED), ("expire", Cancellation.EXPIRED)])
    async def test_why_a_payment_ended_without_money(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder, end: str, why: Cancellation
    ) -> None:
        begun = await provider.create_payment(order)
        await getattr(yookassa, end)(begun.id)

        ended = await provider.get_payment(begun.id)

        assert (ended.status, ended.is_paid, ended.cancellation) == (ProviderStatus.CANCELED, False, why)

    async def test_the_same_key_again_is_the_same_payment(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        first = await provider.create_payment(order)
        again = await provider.create_payment(order)

        assert again == first
        assert len(await yookassa.payments()) == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": {"value": 500.0}},
            {"amount": {"value": "five hundred"}},
            {"amount": {"currency": "ROUBLES"}},
            {"amount": None},
            {"status": "nearly_paid"},
            {"paid": "true"},
            {"paid": None},
            {"test": None},
            {"recipient": None},
            {"id": "../refunds"},
            {"id": None},
            {"confirmation": {"confirmation_url": "javascript:alert(1)"}},
            {"metadata": ["payment_id"]},
        ],
    )
    async def test_an_object_that_makes_no_sense_is_not_guessed_at(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder, changes: dict[str, Any]
    ) -> None:
        begun = await provider.create_payment(order)
        await yookassa.plan("altered", "get_payment", changes=changes)

        with pytest.raises(ProviderMalformed):
            await provider.get_payment(begun.id)


class TestHowACallEnds:
    @pytest.mark.parametrize("kind", ["hang", "reset", "server_error", "bad_gateway_html", "gateway_timeout"])
    @pytest.mark.parametrize("effect", ["none", "done"])
    async def test_a_creation_without_an_answer_is_ambiguous(
        self, impatient: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder, kind: str, effect: str
    ) -> None:
        await yookassa.plan(kind, "create_payment", effect=effect, seconds=2)

        with pytest.raises(ProviderAmbiguous):
            await impatient.create_payment(order)

        assert len(await yookassa.payments()) == (1 if effect == "done" else 0)

    @pytest.mark.parametrize("kind", ["malformed_json", "empty_body"])
    async def test_a_creation_with_a_spoilt_answer_is_malformed(
        self, impatient: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder, kind: str
    ) -> None:
        await yookassa.plan(kind, "create_payment")

        with pytest.raises(ProviderMalformed):
            await impatient.create_payment(order)

    @pytest.mark.parametrize(
        "kind", ["hang", "reset", "half_response", "server_error", "bad_gateway_html", "unavailable", "gateway_timeout"]
    )
    async def test_a_question_without_an_answer_is_an_outage(
        self, impatient: YookassaProvider, yookassa: SimulatedYookassa, kind: str
    ) -> None:
        await yookassa.plan(kind, "get_payment", seconds=2)

        with pytest.raises(ProviderUnavailable):
            await impatient.get_payment(UNKNOWN)

    async def test_nobody_there_is_an_outage_even_for_a_creation(self, order: PaymentOrder) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
            async with connected(f"http://127.0.0.1:{taken.getsockname()[1]}/v3") as provider:
                with pytest.raises(ProviderUnavailable):
                    await provider.create_payment(order)

    async def test_too_many_calls_is_said_with_how_long_to_wait(
        self, impatient: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        await yookassa.plan("rate_limited", "create_payment", retry_after_seconds=60)

        with pytest.raises(ProviderRateLimited) as refused:
            await impatient.create_payment(order)

        assert refused.value.retry_after_seconds == 60
        assert refused.value.facts == {"retry_after_seconds": 60}

    async def test_wrong_credentials_are_ours_to_mend(self, yookassa: SimulatedYookassa, order: PaymentOrder) -> None:
        async with connected(yookassa.api_url, secret_key="wrong") as provider:
            with pytest.raises(ProviderRefusedUs):
                await provider.create_payment(order)

        assert len(await yookassa.calls("create_payment")) == 1

    async def test_a_refused_request_is_a_rejection_and_is_not_repeated(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        await provider.create_payment(order)
        other = PaymentOrder(
            key=order.key,
            amount=rub("900"),
            description=order.description,
            return_url=order.return_url,
            payment_id=order.payment_id,
            account_id=order.account_id,
            purpose=order.purpose,
        )

        with pytest.raises(ProviderRejected):
            await provider.create_payment(other)

        assert len(await yookassa.calls("create_payment")) == 2

    async def test_an_unknown_payment_is_unknown(self, provider: YookassaProvider) -> None:
        with pytest.raises(ProviderObjectUnknown):
            await provider.get_payment(UNKNOWN)

    async def test_nothing_that_the_provider_wrote_is_shown(
        self, impatient: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        await yookassa.plan("server_error", "create_payment")

        with pytest.raises(ProviderFailure) as failed:
            await impatient.create_payment(order)

        assert "Planned" not in f"{failed.value} {failed.value.facts}"

    async def test_an_answer_without_end_is_cut_off(self, order: PaymentOrder) -> None:
        async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
            writer.write(b" " * (2 * 1024 * 1024))
            await (
                reader.read()
            )  # until the client goes: whoever closes first, with bytes unread, cuts what is on its way
            writer.close()

        async with await asyncio.start_server(pour, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connected(f"http://127.0.0.1:{port}/v3", retries_max=0) as provider:
                with pytest.raises(ProviderMalformed, match="larger"):
                    await provider.create_payment(order)

    @pytest.mark.parametrize(
        ("status", "body", "failure"),
        [
            (200, b"[" * 100_000, ProviderMalformed),
            (200, b"\xff\xfe", ProviderMalformed),
            (204, b"", ProviderMalformed),
            (302, b"", ProviderMalformed),
            (202, b'{"type": "processing", "retry_after": 1800}', ProviderAmbiguous),
            (408, b"", ProviderAmbiguous),
            (404, b"", ProviderRejected),
            (403, b"", ProviderRefusedUs),
        ],
    )
    async def test_what_no_simulator_would_answer_has_its_meaning_too(
        self, order: PaymentOrder, status: int, body: bytes, failure: type[ProviderFailure]
    ) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connected(f"http://127.0.0.1:{port}/v3", retries_max=0) as provider:
                with pytest.raises(failure):
                    await provider.create_payment(order)


class TestRepetition:
    @pytest.mark.parametrize("kind", ["reset", "server_error", "unavailable", "malformed_json", "bad_gateway_html"])
    async def test_a_passing_failure_is_overcome_with_the_same_key(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder, kind: str
    ) -> None:
        await yookassa.plan(kind, "create_payment", times=2)

        begun = await provider.create_payment(order)

        calls = await yookassa.calls("create_payment")
        assert begun.status is ProviderStatus.PENDING
        assert [call["headers"]["idempotence-key"] for call in calls] == [order.key] * 3
        assert len(await yookassa.payments()) == 1

    async def test_ends_after_the_second_one(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        await yookassa.plan("unavailable", "create_payment", times=9)

        with pytest.raises(ProviderUnavailable):
            await provider.create_payment(order)

        assert len(await yookassa.calls("create_payment")) == 3

    async def test_does_not_make_an_uncertain_call_certain(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        await yookassa.plan("reset", "create_payment", effect="done")
        await yookassa.plan("unavailable", "create_payment", times=2)

        with pytest.raises(ProviderAmbiguous):
            await provider.create_payment(order)

    async def test_does_not_begin_when_the_provider_asks_for_more_time_than_there_is(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa
    ) -> None:
        await yookassa.plan("rate_limited", "get_payment", retry_after_seconds=60)

        with pytest.raises(ProviderRateLimited):
            await provider.get_payment(UNKNOWN)

        assert len(await yookassa.calls("get_payment")) == 1

    async def test_waits_as_long_as_the_provider_asks(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await yookassa.plan("rate_limited", "get_payment", retry_after_seconds=1)
        loop = asyncio.get_running_loop()
        asked_at = loop.time()

        await provider.get_payment(begun.id)

        assert loop.time() - asked_at >= 1

    async def test_keeps_within_the_time_for_the_whole_call(
        self, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        await yookassa.plan("delay", "create_payment", times=9, seconds=5)
        loop = asyncio.get_running_loop()
        asked_at = loop.time()

        async with connected(yookassa.api_url, total_seconds=0.4) as provider:
            with pytest.raises(ProviderAmbiguous):
                await provider.create_payment(order)

        assert loop.time() - asked_at < 2

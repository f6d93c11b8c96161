"""YooKassa's API v3 over our own HTTP client, which has deadlines and says how a call ended.

Source: YooKassa's API reference (authentication, idempotence, HTTP codes, lists). A 500 there means "result unknown,
repeat with the same Idempotence-Key", and keys are remembered for 24 hours.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import httpx

from billing.kit.money import Money
from billing.kit.tls import public_authorities
from billing.payments.adapters.breaker import CircuitBreaker
from billing.payments.adapters.calls import Budget, ProviderCalls, no_answer, retry_after_seconds
from billing.payments.adapters.lists import readable
from billing.payments.adapters.yookassa_objects import (
    as_amount,
    as_event,
    as_order,
    as_page,
    as_payment,
    as_refund,
    as_refund_order,
    as_time,
)
from billing.payments.errors import (
    ProviderFailure,
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRateLimited,
    ProviderRefusedUs,
    ProviderRejected,
    ProviderUnavailable,
)
from billing.payments.ports import (
    PaymentOrder,
    ProviderDispute,
    ProviderEvent,
    ProviderPayment,
    ProviderRefund,
    RefundOrder,
)
from billing.payments.rules import (
    ProviderPaymentId,
    ProviderRefundId,
    parse_provider_payment_id,
    parse_provider_refund_id,
)

_ANSWER_BYTES_MAX = 1024 * 1024
_PAGE_SIZE = 100
_PAGES_MAX = 1000
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_PLAIN_FAILURES: dict[int, tuple[type[ProviderFailure], str]] = {
    HTTPStatus.UNAUTHORIZED: (ProviderRefusedUs, "The payment provider does not accept our credentials."),
    HTTPStatus.FORBIDDEN: (ProviderRefusedUs, "The payment provider does not accept our credentials."),
    HTTPStatus.TOO_MANY_REQUESTS: (ProviderRateLimited, "The payment provider wants fewer calls."),
    HTTPStatus.SERVICE_UNAVAILABLE: (ProviderUnavailable, "The payment provider is not available."),
}
_RESULT_UNKNOWN = frozenset({HTTPStatus.ACCEPTED, HTTPStatus.REQUEST_TIMEOUT})  # 202 is "still being processed"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: str
    content: bytes


class YookassaProvider:
    """The payment provider YooKassa, or whoever speaks its protocol at `api_url`; close it when done.

    It sends no disputes: what a bank takes back reaches its shops as a refund.
    """

    name = "yookassa"

    def __init__(
        self,
        *,
        shop_id: str,
        secret_key: str,
        api_url: str,
        is_test: bool,
        budget: Budget | None = None,
        breaker: CircuitBreaker | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.shop_id = shop_id
        self.is_test = is_test
        budget = budget or Budget()
        self._calls = ProviderCalls(budget, breaker or CircuitBreaker(self.name), chance)
        self._client = httpx.AsyncClient(
            verify=public_authorities(),
            base_url=api_url.rstrip("/") + "/",
            auth=httpx.BasicAuth(shop_id, secret_key),
            timeout=httpx.Timeout(budget.total_seconds, connect=budget.connect_seconds),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10),
            follow_redirects=False,
            trust_env=False,  # credentials go to the configured address, not to a proxy that the machine names
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def create_payment(self, order: PaymentOrder) -> ProviderPayment:
        """Begins a payment that is captured as soon as it is paid: by a redirect, or with a method that was kept."""
        return as_payment(await self._post("payments", as_order(order), key=order.key))

    async def get_payment(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """The payment as it is now; an id that cannot be one never enters a URL."""
        return as_payment(await self._get(f"payments/{parse_provider_payment_id(payment_id)}"))

    async def capture(self, payment_id: ProviderPaymentId, amount: Money, *, key: str) -> ProviderPayment:
        """Takes what is reserved."""
        path = f"payments/{parse_provider_payment_id(payment_id)}/capture"
        return as_payment(await self._post(path, {"amount": as_amount(amount)}, key=key))

    async def cancel(self, payment_id: ProviderPaymentId, *, key: str) -> ProviderPayment:
        """Gives back what is reserved; what nobody has paid yet cannot be called off here and expires by itself."""
        return as_payment(await self._post(f"payments/{parse_provider_payment_id(payment_id)}/cancel", {}, key=key))

    async def refund(self, order: RefundOrder) -> ProviderRefund:
        """Gives money back."""
        return as_refund(await self._post("refunds", as_refund_order(order), key=order.key))

    async def get_refund(self, refund_id: ProviderRefundId) -> ProviderRefund:
        """The refund as it is now."""
        return as_refund(await self._get(f"refunds/{parse_provider_refund_id(refund_id)}"))

    async def refunds_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderRefund, ...]:
        """The payment's refunds."""
        only: dict[str, str] = {"payment_id": parse_provider_payment_id(payment_id)}
        return tuple([as_refund(item) async for item in self._items("refunds", only)])

    async def disputes_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderDispute, ...]:
        """None, ever."""
        del payment_id
        return ()

    async def list_payments(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """The payments of this time, newest first."""
        async for payment in readable(self._items("payments", _begun(since, until)), _as_payment):
            yield payment

    async def list_refunds(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderRefund]:
        """The refunds of this time, newest first."""
        async for refund in readable(self._items("refunds", _begun(since, until)), _as_refund):
            yield refund

    def parse_event(self, body: str) -> ProviderEvent:
        """What a notification claims."""
        return as_event(json.loads(body))

    async def _get(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        request = self._client.build_request("GET", path, params=parameters)
        return await self._calls.ask(lambda deadline: self._attempt(request, deadline))

    async def _post(self, path: str, body: Any, *, key: str) -> Any:
        request = self._client.build_request("POST", path, json=body, headers={"Idempotence-Key": key})
        return await self._calls.change(lambda deadline: self._attempt(request, deadline))

    async def _items(self, path: str, parameters: dict[str, str]) -> AsyncIterator[Any]:
        """Each object of a list, page by page; a list that comes back to where it was has no end."""
        asked = {**parameters, "limit": str(_PAGE_SIZE)}
        cursors: set[str] = set()
        while len(cursors) < _PAGES_MAX:
            page = as_page(await self._get(path, asked))
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            if page.next_cursor in cursors:
                break
            cursors.add(page.next_cursor)
            asked["cursor"] = page.next_cursor
        raise ProviderMalformed("The payment provider's list has no end.")

    async def _attempt(self, request: httpx.Request, deadline: float) -> Any:
        is_change = request.method == "POST"
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._exchange(request)
        except _NOT_SENT as error:
            raise ProviderUnavailable("The payment provider could not be reached.") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise no_answer(is_change=is_change) from error
        return _content_of(answer, is_change=is_change)

    async def _exchange(self, request: httpx.Request) -> _Answer:
        response = await self._client.send(request, stream=True)
        try:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > _ANSWER_BYTES_MAX:
                    raise ProviderMalformed("The payment provider's answer is larger than any it should give.")
            return _Answer(response.status_code, response.headers.get("retry-after", ""), bytes(content))
        finally:
            await response.aclose()


async def _as_payment(item: Any) -> ProviderPayment:
    return as_payment(item)


async def _as_refund(item: Any) -> ProviderRefund:
    return as_refund(item)


def _content_of(answer: _Answer, *, is_change: bool) -> Any:
    if answer.status in {HTTPStatus.OK, HTTPStatus.CREATED}:
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError) as error:  # the second for brackets within brackets within brackets
            raise ProviderMalformed("The payment provider's answer cannot be read.") from error
    raise _failure_of(answer, is_change=is_change)


def _failure_of(answer: _Answer, *, is_change: bool) -> ProviderFailure:
    if answer.status in _PLAIN_FAILURES:
        kind, sentence = _PLAIN_FAILURES[answer.status]
        return kind(sentence, retry_after_seconds=retry_after_seconds(answer.retry_after))
    if answer.status == HTTPStatus.NOT_FOUND and not is_change:
        return ProviderObjectUnknown("The payment provider does not know this object.")
    if answer.status in _RESULT_UNKNOWN or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return no_answer(is_change=is_change)
    if answer.status >= HTTPStatus.BAD_REQUEST:
        return ProviderRejected("The payment provider refused the request.")
    return ProviderMalformed("The payment provider's answer has an unexpected status.")


def _begun(since: datetime, until: datetime) -> dict[str, str]:
    return {"created_at.gte": as_time(since), "created_at.lt": as_time(until)}

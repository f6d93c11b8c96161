"""YooKassa's API v3 over our own HTTP client, which has deadlines and says how a call ended.

Source: YooKassa's API reference (authentication, idempotence, HTTP codes). A 500 there means "result unknown, repeat
with the same Idempotence-Key", and keys are remembered for 24 hours.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from billing.kit.tls import public_authorities
from billing.kit.unit_of_work import refuse_open_transaction
from billing.payments.adapters.yookassa_objects import as_event, as_order, as_payment
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
from billing.payments.ports import PaymentOrder, ProviderEvent, ProviderPayment
from billing.payments.rules import ProviderPaymentId, parse_provider_payment_id

_ANSWER_BYTES_MAX = 1024 * 1024
_RETRY_AFTER_MAX = 3600
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_RETRIED = (ProviderAmbiguous, ProviderMalformed, ProviderRateLimited, ProviderUnavailable)
_UNCERTAIN = (ProviderAmbiguous, ProviderMalformed)

_PLAIN_FAILURES: dict[int, tuple[type[ProviderFailure], str]] = {
    HTTPStatus.UNAUTHORIZED: (ProviderRefusedUs, "The payment provider does not accept our credentials."),
    HTTPStatus.FORBIDDEN: (ProviderRefusedUs, "The payment provider does not accept our credentials."),
    HTTPStatus.TOO_MANY_REQUESTS: (ProviderRateLimited, "The payment provider wants fewer calls."),
    HTTPStatus.SERVICE_UNAVAILABLE: (ProviderUnavailable, "The payment provider is not available."),
}
_RESULT_UNKNOWN = frozenset({HTTPStatus.ACCEPTED, HTTPStatus.REQUEST_TIMEOUT})  # 202 is "still being processed"


@dataclass(frozen=True, slots=True)
class Budget:
    """How long one use of the provider may take, with all its repetitions."""

    connect_seconds: float = 3.0
    total_seconds: float = 15.0
    retries_max: int = 2
    first_wait_seconds: float = 0.2


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: str
    content: bytes


class YookassaProvider:
    """The payment provider YooKassa, or whoever speaks its protocol at `api_url`; close it when done.

    Only GET and POST with an Idempotence-Key are repeated, and only after failures that may pass. If any repetition of
    a POST ended uncertainly, the whole call did, whatever a later repetition said.
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
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.shop_id = shop_id
        self.is_test = is_test
        self._budget = budget or Budget()
        self._chance = chance
        self._client = httpx.AsyncClient(
            verify=public_authorities(),
            base_url=api_url.rstrip("/") + "/",
            auth=httpx.BasicAuth(shop_id, secret_key),
            timeout=httpx.Timeout(self._budget.total_seconds, connect=self._budget.connect_seconds),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10),
            follow_redirects=False,
            trust_env=False,  # credentials go to the configured address, not to a proxy that the machine names
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def create_payment(self, order: PaymentOrder) -> ProviderPayment:
        """Begins a payment that is captured as soon as it is paid, confirmed by a redirect."""
        return as_payment(await self._call("POST", "payments", body=as_order(order), key=order.key))

    async def get_payment(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """The payment as it is now; an id that cannot be one never enters a URL."""
        return as_payment(await self._call("GET", f"payments/{parse_provider_payment_id(payment_id)}"))

    def parse_event(self, body: str) -> ProviderEvent:
        """What a notification claims."""
        return as_event(json.loads(body))

    async def _call(self, method: str, path: str, *, body: Any = None, key: str | None = None) -> Any:
        refuse_open_transaction()
        headers = {} if key is None else {"Idempotence-Key": key}
        deadline = asyncio.get_running_loop().time() + self._budget.total_seconds
        uncertainty: ProviderFailure | None = None
        retries = 0
        while True:
            request = self._client.build_request(method, path, json=body, headers=headers)
            try:
                return await self._attempt(request, deadline)
            except ProviderFailure as failure:
                if key is not None and isinstance(failure, _UNCERTAIN):
                    uncertainty = failure
                wait_seconds = self._wait_seconds(failure, retries)
                if retries == self._budget.retries_max or not _is_worth_a_retry(failure, wait_seconds, deadline):
                    raise (uncertainty or failure) from failure
            retries += 1
            await asyncio.sleep(wait_seconds)

    async def _attempt(self, request: httpx.Request, deadline: float) -> Any:
        is_keyed_post = request.method == "POST"
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._exchange(request)
        except _NOT_SENT as error:
            raise ProviderUnavailable("The payment provider could not be reached.") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise _no_answer(is_keyed_post=is_keyed_post) from error
        return _content_of(answer, is_keyed_post=is_keyed_post)

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

    def _wait_seconds(self, failure: ProviderFailure, retries: int) -> float:
        """What the provider asks for, else twice as long each time, jittered so that callers do not march in step."""
        backoff: float = self._budget.first_wait_seconds * 2**retries * (0.5 + self._chance())
        return max(backoff, float(failure.retry_after_seconds or 0))


def _is_worth_a_retry(failure: ProviderFailure, wait_seconds: float, deadline: float) -> bool:
    return isinstance(failure, _RETRIED) and asyncio.get_running_loop().time() + wait_seconds < deadline


def _no_answer(*, is_keyed_post: bool) -> ProviderFailure:
    if is_keyed_post:
        return ProviderAmbiguous("The payment provider did not answer; whether it acted is not known yet.")
    return ProviderUnavailable("The payment provider did not answer.")


def _content_of(answer: _Answer, *, is_keyed_post: bool) -> Any:
    if answer.status in {HTTPStatus.OK, HTTPStatus.CREATED}:
        try:
            return json.loads(answer.content)
        except ValueError as error:
            raise ProviderMalformed("The payment provider's answer cannot be read.") from error
    raise _failure_of(answer, is_keyed_post=is_keyed_post)


def _failure_of(answer: _Answer, *, is_keyed_post: bool) -> ProviderFailure:
    if answer.status in _PLAIN_FAILURES:
        kind, sentence = _PLAIN_FAILURES[answer.status]
        return kind(sentence, retry_after_seconds=_retry_after_seconds(answer.retry_after))
    if answer.status == HTTPStatus.NOT_FOUND and not is_keyed_post:
        return ProviderObjectUnknown("The payment provider does not know this payment.")
    if answer.status in _RESULT_UNKNOWN or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _no_answer(is_keyed_post=is_keyed_post)
    if answer.status >= HTTPStatus.BAD_REQUEST:
        return ProviderRejected("The payment provider refused the request.")
    return ProviderMalformed("The payment provider's answer has an unexpected status.")


def _retry_after_seconds(text: str) -> int | None:
    return min(int(text), _RETRY_AFTER_MAX) if text.isascii() and text.isdigit() else None

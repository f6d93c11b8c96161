"""How our Stripe adapter uses the SDK: each request within the provider's budget, each ending in our own words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol

import stripe

from billing.payments.adapters.calls import ProviderCalls, no_answer, retry_after_seconds
from billing.payments.adapters.stripe_objects import Named, Page, understood
from billing.payments.errors import (
    ProviderFailure,
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRateLimited,
    ProviderRefusedUs,
    ProviderRejected,
)
from billing.payments.rules import parse_provider_id

_PAGE_SIZE = 100
_EXPANDED_PAGE_SIZE = 20
"""A session with its intent, its charge and fifty metadata entries has tens of kilobytes: a hundred of them would not
fit into an answer, whose limit we keep because it protects each call, and not only lists."""

_OBJECTS_MAX = 100_000
_RESULT_UNKNOWN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT})
"""The second means that an earlier request with the same key is still being worked on."""

Body = dict[str, Any]
Call = Callable[[], Awaitable[Any]]
"""One request of the SDK, made anew for each attempt."""


class _Answer(Protocol):
    """What the SDK's calls give back."""

    @property
    def last_response(self) -> Any:
        """The answer's headers, among others."""
        ...

    def to_dict(self) -> Body:
        """The object as JSON has it."""
        ...


class StripeCalls:
    """Questions, keyed changes and lists."""

    def __init__(self, calls: ProviderCalls) -> None:
        self._calls = calls

    async def ask(self, call: Call) -> Body:
        """The answer to a question.

        Raises:
            ProviderFailure: there is none.
        """
        answer: _Answer = await self._calls.ask(lambda deadline: _attempt(call, deadline, is_change=False))
        return answer.to_dict()

    async def change(self, call: Call) -> tuple[Body, bool]:
        """The answer to a keyed change, and whether it is the repetition of an earlier one.

        Raises:
            ProviderFailure: `ProviderAmbiguous` or `ProviderMalformed` where it may have happened.
        """
        answer: _Answer = await self._calls.change(lambda deadline: _attempt(call, deadline, is_change=True))
        return answer.to_dict(), _is_repetition(answer)

    async def charge(self, call: Call) -> tuple[Body, bool]:
        """The same for a charge without its owner; a bank's refusal is an answer too: the intent that it leaves behind.

        The second is true also after a refusal: the answer does not show all, so that the payment is to be read.

        Raises:
            ProviderFailure: as for `change`.
        """
        refused: list[Body] = []

        async def charge_or_refuse() -> Any:
            try:
                return await call()
            except stripe.CardError as refusal:
                refused.append(_intent_behind(refusal))
                return None

        answer: _Answer | None = await self._calls.change(
            lambda deadline: _attempt(charge_or_refuse, deadline, is_change=True)
        )
        if answer is None:
            return refused[-1], True
        return answer.to_dict(), _is_repetition(answer)

    async def items(self, list_async: Callable[[Any], Awaitable[Any]], params: Body) -> AsyncIterator[Body]:
        """Each object of a list, page by page; the SDK's own paging would go past our budget.

        Raises:
            ProviderFailure: a page could not be asked for, or the list has no end.
        """
        page_size = _EXPANDED_PAGE_SIZE if "expand" in params else _PAGE_SIZE
        wanted = {**params, "limit": page_size}
        for _ in range(_OBJECTS_MAX // page_size):
            page = understood(Page, await self._page(list_async, wanted))
            for body in page.data:
                yield body
            if not page.has_more:
                return
            wanted = {**wanted, "starting_after": _last_id(page)}
        raise ProviderMalformed("The payment provider's list has no end.")

    async def _page(self, list_async: Callable[[Any], Awaitable[Any]], params: Body) -> Body:
        # The SDK may write into what it is given.
        return await self.ask(lambda: list_async(dict(params)))


async def _attempt(call: Call, deadline: float, *, is_change: bool) -> Any:
    try:
        async with asyncio.timeout_at(deadline):
            return await call()
    except TimeoutError as error:
        raise no_answer(is_change=is_change) from error
    except stripe.StripeError as error:
        # Without the cause: it holds the provider's words, and those belong in no log.
        raise failure_of(error, is_change=is_change) from None


def _is_repetition(answer: _Answer) -> bool:
    return bool(answer.last_response.headers.get("idempotent-replayed") == "true")


def failure_of(error: stripe.StripeError, *, is_change: bool) -> ProviderFailure:
    """What a refusal of the API means to us; the status tells more than the SDK's classes, which mix several."""
    status = error.http_status or 0
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait_seconds = retry_after_seconds((error.headers or {}).get("retry-after", ""))
        return ProviderRateLimited("The payment provider wants fewer calls.", retry_after_seconds=wait_seconds)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return ProviderRefusedUs("The payment provider does not accept our credentials.")
    if status == HTTPStatus.NOT_FOUND and not is_change:
        return ProviderObjectUnknown("The payment provider does not know this object.")
    if status in _RESULT_UNKNOWN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return no_answer(is_change=is_change)
    if status >= HTTPStatus.BAD_REQUEST:
        return ProviderRejected("The payment provider refused the request.")
    return ProviderMalformed("The payment provider's answer has an unexpected status.")


def _intent_behind(refusal: stripe.CardError) -> Body:
    """The payment intent that a refused charge leaves behind.

    Raises:
        ProviderMalformed: the refusal does not say.
    """
    body = refusal.json_body
    error = body.get("error") if isinstance(body, dict) else None
    intent = error.get("payment_intent") if isinstance(error, dict) else None
    if not isinstance(intent, dict):
        raise ProviderMalformed("The payment provider refused a charge and does not say which.")
    return intent


def _last_id(page: Page) -> str:
    if not page.data:
        raise ProviderMalformed("The payment provider's list goes on after nothing.")
    return parse_provider_id(understood(Named, page.data[-1]).id)

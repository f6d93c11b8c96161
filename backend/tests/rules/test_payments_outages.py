"""A failure about one object is told from a provider that answers nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, cast

import pytest

from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderFailure,
    ProviderListHoles,
    ProviderMalformed,
    ProviderRateLimited,
    ProviderRefusedUs,
    ProviderUnavailable,
)
from billing.payments.outages import is_provider_down
from billing.payments.ports import PaymentProvider

pytestmark = pytest.mark.money

ABOUT_ONE = [ProviderUnavailable("500"), ProviderAmbiguous("500"), ProviderRefusedUs("403")]


class ListingProvider:
    """A provider of which only the lists are asked for: they have something, nothing, or fail."""

    def __init__(self, *listed: object, failure: ProviderFailure | None = None) -> None:
        self.asked = 0
        self._listed = listed
        self._failure = failure

    async def list_payments(self, *, since: datetime, until: datetime) -> AsyncIterator[Any]:
        """What it has."""
        assert since < until
        self.asked += 1
        for item in self._listed:
            yield item
        if self._failure is not None:
            raise self._failure


async def is_down(provider: ListingProvider, failure: ProviderFailure) -> bool:
    return await is_provider_down(cast("PaymentProvider", provider), failure)


class TestAFailureAboutOneObject:
    @pytest.mark.parametrize("failure", ABOUT_ONE)
    async def test_is_no_outage_while_the_list_is_answered(self, failure: ProviderFailure) -> None:
        assert not await is_down(ListingProvider(), failure)
        assert not await is_down(ListingProvider("a payment"), failure)

    @pytest.mark.parametrize("answer", [ProviderListHoles(("1",)), ProviderMalformed("?")])
    async def test_is_no_outage_while_the_list_is_answered_badly(self, answer: ProviderFailure) -> None:
        assert not await is_down(ListingProvider(failure=answer), ProviderUnavailable("500"))

    @pytest.mark.parametrize("failure", ABOUT_ONE)
    @pytest.mark.parametrize("answer", [*ABOUT_ONE, ProviderRateLimited("429")])
    async def test_is_one_where_the_list_is_not_answered_either(
        self, failure: ProviderFailure, answer: ProviderFailure
    ) -> None:
        assert await is_down(ListingProvider(failure=answer), failure)


class TestAProviderThatWantsFewerCalls:
    async def test_is_down_without_one_more_call(self) -> None:
        provider = ListingProvider()

        assert await is_down(provider, ProviderRateLimited("429"))
        assert provider.asked == 0

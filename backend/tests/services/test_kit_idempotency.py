"""An Idempotency-Key means one thing to its owner, however often and however close together it comes."""

from __future__ import annotations

import asyncio

import pytest

from backend.tests.fakes.clock import NOON
from billing.kit.errors import IdempotencyKeyReused, InvalidInput
from billing.kit.idempotency import claim, digest_of
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, UnitOfWork

REQUEST = digest_of({"amount": "500.00", "currency": "RUB"})
OTHER_REQUEST = digest_of({"amount": "501.00", "currency": "RUB"})


async def claim_in(uow: UnitOfWork, owner: str, result: str, *, key: str = "k", request: str = REQUEST) -> str:
    return await claim(
        uow,
        owner_id=owner,
        operation="topup",
        key=key,
        request_digest=request,
        result_id=result,
        at=NOON,
    )


@pytest.fixture
def owner(ids: Ids) -> str:
    """An account that has used no key yet."""
    return ids.new("acc")


class TestClaiming:
    async def test_the_second_claim_answers_the_first_result(self, begin: Begin, owner: str) -> None:
        async with begin() as uow:
            first = await claim_in(uow, owner, "pay_1")

        async with begin() as uow:
            second = await claim_in(uow, owner, "pay_2")

        assert (first, second) == ("pay_1", "pay_1")

    async def test_two_owners_may_use_the_same_key_for_different_things(
        self, begin: Begin, owner: str, ids: Ids
    ) -> None:
        async with begin() as uow:
            mine = await claim_in(uow, owner, "pay_1")
            theirs = await claim_in(uow, ids.new("acc"), "pay_2", request=OTHER_REQUEST)

        assert (mine, theirs) == ("pay_1", "pay_2")

    async def test_one_key_for_two_operations_is_two_keys(self, begin: Begin, owner: str) -> None:
        async with begin() as uow:
            topup = await claim_in(uow, owner, "pay_1")
            refund = await claim(
                uow,
                owner_id=owner,
                operation="refund",
                key="k",
                request_digest=OTHER_REQUEST,
                result_id="ref_1",
                at=NOON,
            )

        assert (topup, refund) == ("pay_1", "ref_1")

    async def test_another_request_under_the_same_key_is_refused(self, begin: Begin, owner: str) -> None:
        async with begin() as uow:
            await claim_in(uow, owner, "pay_1")

        with pytest.raises(IdempotencyKeyReused):
            async with begin() as uow:
                await claim_in(uow, owner, "pay_2", request=OTHER_REQUEST)

    async def test_a_claim_that_was_rolled_back_leaves_the_key_free(self, begin: Begin, owner: str) -> None:
        with pytest.raises(InvalidInput):
            async with begin() as uow:
                await claim_in(uow, owner, "pay_1")
                raise InvalidInput("field", "refused after the claim")

        async with begin() as uow:
            assert await claim_in(uow, owner, "pay_2", request=OTHER_REQUEST) == "pay_2"

    @pytest.mark.parametrize("key", ["", "x" * 201, "schlüssel", "a\nb", "\x7f"])
    async def test_a_key_that_is_no_key_is_refused(self, begin: Begin, owner: str, key: str) -> None:
        with pytest.raises(InvalidInput):
            async with begin() as uow:
                await claim_in(uow, owner, "pay_1", key=key)


class TestAtOnce:
    async def test_ten_claims_at_once_agree_on_one_result(self, begin: Begin, owner: str) -> None:
        async def claim_one(number: int) -> str:
            async with begin() as uow:
                return await claim_in(uow, owner, f"pay_{number}")

        results = await asyncio.gather(*(claim_one(number) for number in range(10)))

        assert len(set(results)) == 1

    async def test_a_claim_waits_for_the_one_before_and_takes_its_place_when_that_fails(
        self, begin: Begin, owner: str
    ) -> None:
        claimed, give_up = asyncio.Event(), asyncio.Event()

        async def fail_later() -> None:
            async with begin() as uow:
                await claim_in(uow, owner, "pay_1")
                claimed.set()
                await give_up.wait()
                raise InvalidInput("field", "refused after the claim")

        async def claim_second() -> str:
            async with begin() as uow:
                give_up.set()
                return await claim_in(uow, owner, "pay_2")

        failing = asyncio.create_task(fail_later())
        await claimed.wait()
        second = await claim_second()

        with pytest.raises(InvalidInput):
            await failing
        assert second == "pay_2"


class TestDigests:
    def test_the_order_of_fields_does_not_matter(self) -> None:
        assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"})

    @pytest.mark.parametrize("other", [{"a": "1"}, {"a": "1", "b": "3"}, {"a": "12", "b": ""}, {"ab": "12"}])
    def test_requests_that_say_different_things_differ(self, other: dict[str, str]) -> None:
        assert digest_of({"a": "1", "b": "2"}) != digest_of(other)

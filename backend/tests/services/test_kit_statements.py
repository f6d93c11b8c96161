"""Statements that go straight to the driver: every value is named, constants stay, one row is one row."""

from __future__ import annotations

import pytest
from sqlalchemy import Integer, bindparam, func, select

from billing.kit.statements import DriverStatement
from billing.kit.unit_of_work import Begin

NUMBERS = DriverStatement(
    select(
        func.generate_series(1, bindparam("last", type_=Integer)).label("number"),
        (bindparam("more", type_=Integer) + 7).label("sum"),
    ).limit(3)
)


class TestADriverStatement:
    async def test_answers_rows_by_name_with_its_own_constants(self, begin: Begin) -> None:
        async with begin() as uow:
            rows = await NUMBERS.rows(uow, last=5, more=10)

        assert [(row.number, row.sum) for row in rows] == [(1, 17), (2, 17), (3, 17)]

    async def test_is_sent_again_with_other_values(self, begin: Begin) -> None:
        async with begin() as uow:
            first = await NUMBERS.row(uow, last=1, more=1)
            second = await NUMBERS.row(uow, last=1, more=None)

        assert first is not None
        assert second is not None
        assert (first.sum, second.sum) == (8, None)

    async def test_answers_none_where_there_is_no_row(self, begin: Begin) -> None:
        async with begin() as uow:
            assert await NUMBERS.row(uow, last=0, more=1) is None

    async def test_for_one_row_does_not_choose_among_several(self, begin: Begin) -> None:
        async with begin() as uow:
            with pytest.raises(AssertionError, match="several"):
                await NUMBERS.row(uow, last=2, more=1)

    @pytest.mark.parametrize("values", [{"last": 1}, {"last": 1, "more": 1, "limit": 9}], ids=["too few", "too many"])
    async def test_wants_exactly_its_values(self, values: dict[str, int], begin: Begin) -> None:
        async with begin() as uow:
            with pytest.raises(AssertionError, match="last"):
                await NUMBERS.rows(uow, **values)

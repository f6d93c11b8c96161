"""Which amounts an operator can move."""

from __future__ import annotations

import pytest

from backend.tests.builders.wallets import rub
from billing.admin.rules import check_amount
from billing.kit.errors import InvalidInput

pytestmark = pytest.mark.money

COPECK = rub("0.01")
NOTHING = rub("0")
LESS_THAN_NOTHING = rub("-0.000001")


@pytest.mark.parametrize("is_zero_allowed", [True, False])
def test_what_is_above_zero_can_be_moved(*, is_zero_allowed: bool) -> None:
    assert check_amount(COPECK, is_zero_allowed=is_zero_allowed) == COPECK


def test_nothing_at_all_can_be_moved_only_where_that_is_a_decision() -> None:
    assert check_amount(NOTHING, is_zero_allowed=True) == NOTHING
    with pytest.raises(InvalidInput, match="above zero"):
        check_amount(NOTHING)


@pytest.mark.parametrize("is_zero_allowed", [True, False])
def test_less_than_nothing_can_never_be_moved(*, is_zero_allowed: bool) -> None:
    with pytest.raises(InvalidInput, match="must not be negative"):
        check_amount(LESS_THAN_NOTHING, is_zero_allowed=is_zero_allowed)

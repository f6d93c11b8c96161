"""Every cell of the trust matrix, over real HTTP: its answer, what it leaves behind, what is counted."""

from __future__ import annotations

from collections import Counter

import pytest

from backend.tests.trust.cells import Cell, all_cells, outcome_of, why_impossible
from backend.tests.trust.conftest import Street
from backend.tests.trust.knocks import knock_for, send

pytestmark = pytest.mark.trust

CELLS = list(all_cells())
PLAYED = [cell for cell in CELLS if why_impossible(cell) is None]


@pytest.mark.parametrize(
    "cell", [pytest.param(cell, id=cell.id, marks=pytest.mark.scenario(f"trust/{cell.row}")) for cell in PLAYED]
)
async def test_a_cell_ends_as_the_table_says(street: Street, cell: Cell) -> None:
    expected, knock, port = outcome_of(cell), knock_for(cell), await street.door_for(cell)

    answers = tuple([await send(knock, port) for _ in expected.answers])

    left = await street.traces_of(cell.provider, knock.event)
    assert answers == expected.answers
    assert (left.messages, left.jobs, left.refusals) == (expected.messages, expected.jobs, expected.refusals)


class TestTheMatrix:
    def test_has_every_combination_of_its_dimensions(self) -> None:
        providers, policies, shown, topologies, times = 2, 8, 13, 5, 4

        assert len({cell.id for cell in CELLS}) == providers * policies * shown * topologies * times == 4160

    def test_leaves_out_what_cannot_be_and_says_why(self) -> None:
        reasons = Counter(why_impossible(cell) for cell in CELLS)
        played = reasons.pop(None)

        assert (played, sorted(reasons.values())) == (3456, [320, 384])

    def test_plays_each_row_in_as_many_cells_as_the_others(self) -> None:
        assert set(Counter(cell.row for cell in PLAYED).values()) == {216}

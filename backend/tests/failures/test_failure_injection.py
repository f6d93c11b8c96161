"""Every cell of the failure matrix: what is answered, what there is here and there, and how it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from backend.tests.builders.failures import Premises, Simulated, open_scene
from backend.tests.failures import flows
from backend.tests.failures.cells import Cell, all_cells, why_impossible
from backend.tests.failures.flows import Play

pytestmark = [pytest.mark.money, pytest.mark.slow]

CELLS = list(all_cells())
PLAYED = [cell for cell in CELLS if why_impossible(cell) is None]

PLAYS: Mapping[tuple[str, str], Play] = {
    ("top-up", "create_payment"): Play(flows.top_up, flows.nothing, flows.checked_and_paid),
    ("top-up", "get_payment"): Play(flows.top_up_again, flows.begun, flows.paid_and_checked),
    ("top-up", "get_account"): Play(flows.top_up, flows.nothing, flows.checked_and_paid),
    ("top-up", "create_customer"): Play(flows.top_up_and_keep, flows.nothing, flows.checked_and_paid),
    ("plan by redirect", "create_payment"): Play(flows.buy, flows.plan_on_offer, flows.checked_and_paid),
    ("plan by redirect", "get_payment"): Play(flows.reconcile_plan, flows.plan_paid_unheard, flows.checked),
    ("plan by saved method", "create_payment"): Play(flows.buy, flows.plan_for_the_method, flows.checked),
    ("automatic top-up", "create_payment"): Play(flows.top_up_automatically, flows.low, flows.checked),
    ("refund", "refund"): Play(flows.refund, flows.credited, flows.checked),
    ("refund", "get_payment"): Play(flows.refund, flows.credited, flows.checked),
    ("reconcile", "get_payment"): Play(flows.reconcile, flows.paid_unheard, flows.checked),
    ("reconcile", "refunds_of"): Play(flows.reconcile, flows.paid_and_partly_refunded_unheard, flows.compared),
    ("reconcile", "disputes_of"): Play(flows.reconcile, flows.paid_and_partly_refunded_unheard, flows.compared),
    ("daily reconciliation", "list_payments"): Play(
        flows.compare, flows.paid_and_partly_refunded_unheard, flows.compared
    ),
    ("daily reconciliation", "list_intents"): Play(
        flows.compare, flows.paid_and_partly_refunded_unheard, flows.compared
    ),
    ("daily reconciliation", "get_payment"): Play(
        flows.compare, flows.paid_and_partly_refunded_unheard, flows.compared
    ),
    ("daily reconciliation", "list_refunds"): Play(
        flows.compare, flows.paid_and_partly_refunded_unheard, flows.compared
    ),
    ("daily reconciliation", "get_refund"): Play(flows.compare, flows.old_payment_refunded_unheard, flows.compared),
    ("janitor", "get_payment"): Play(flows.check, flows.paid_unheard, flows.checked),
    ("janitor", "create_payment"): Play(flows.check, flows.left_unbegun, flows.checked_and_paid),
    ("janitor", "list_payments"): Play(flows.check, flows.left_unnamed_for_a_day, flows.checked_and_paid),
    ("janitor", "refund"): Play(flows.check, flows.refund_left_unbegun, flows.checked),
    ("janitor", "refunds_of"): Play(flows.check, flows.refund_left_pending, flows.checked),
}


def marks_of(cell: Cell) -> list[pytest.MarkDecorator]:
    """Its row in the gate's table, and whether it is one of those that only a release plays."""
    return [pytest.mark.scenario(f"failures/{cell.row}"), *([pytest.mark.thorough] if cell.is_thorough else [])]


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.id, marks=marks_of(cell)) for cell in PLAYED])
async def test_a_cell_ends_as_the_table_says(
    premises: Premises, simulators: Mapping[str, Simulated], cell: Cell
) -> None:
    call, fault, operation = cell.call, cell.fault, cell.call.operations[cell.provider]
    play = PLAYS[call.flow, call.name]
    async with open_scene(premises, simulators[cell.provider]) as scene:
        await play.before(scene)
        await scene.go_wrong(fault, operation)

        answer = await play.act(scene, scene.hurried if fault.is_silent else scene.services)
        is_played = await scene.went_wrong(operation)
        during = await scene.standing()
        await scene.simulated.heal()
        await play.after(scene)
        end = await scene.standing()

    assert is_played
    assert answer == call.answers[cell.ending]
    assert during == call.during_with(fault)
    assert end == call.end


class TestTheMatrix:
    def test_plays_every_call_of_every_flow(self) -> None:
        assert {(cell.call.flow, cell.call.name) for cell in CELLS} == set(PLAYS)

    def test_plays_each_fault_that_the_requirements_name_in_every_row(self) -> None:
        cells = Counter(cell.row for cell in PLAYED if not cell.is_thorough)

        changes, questions = 15, 26
        assert Counter(cells.values()) == {11: changes, 10: questions}
        assert sum(cells.values()) == 425

    def test_leaves_out_what_cannot_be_and_says_why(self) -> None:
        reasons = Counter(why_impossible(cell) for cell in CELLS)
        played = reasons.pop(None)

        assert (played, list(reasons.values())) == (500, [156])

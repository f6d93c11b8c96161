"""The plan is frozen before anything starts, and its digest covers all that decides."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ci.tests.unit.conftest import NOWHERE, MakePlan, MakeSpec
from confidence.model.plan import GateSpec, Override, Plan
from confidence.model.shapes import MalformedRecordError
from confidence.suites.configuration import Configuration, parse_configuration
from confidence.suites.overrides import Request
from confidence.suites.planning import digest_of_state, freeze_plan


@pytest.fixture
def configuration() -> Configuration:
    """A P0 and a P1 suite in a tier that runs P0 twice."""
    value: dict[str, Any] = {
        "project": {"name": "shop"},
        "suites": {
            "till": {
                "priority": "P0",
                "pytest": {"paths": ["tests"]},
                "required_artifacts": ["traces/{suite}/*.zip"],
            },
            "lint": {"priority": "P1", "command": ["lint"], "evidence": "exit_code"},
        },
        "tiers": {"twice": {"suites": ["till", "lint"], "gates": ["g"], "budget_seconds": 60, "p0_rounds": 2}},
    }
    return parse_configuration(value, ("g",))


def plan_of(configuration: Configuration, request: Request, run_id: str = "run") -> Plan:
    """The frozen plan of a request."""
    return freeze_plan(
        configuration,
        request,
        {},
        run_id=run_id,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        provenance=NOWHERE,
        tracked_state={},
    )


class TestRounds:
    """A repetition is a suite of its own, with a name and artifacts of its own."""

    def test_p0_suites_come_again_after_all_others(self, configuration: Configuration) -> None:
        plan = plan_of(configuration, Request("twice"))

        assert [(spec.name, spec.repeats, spec.round) for spec in plan.suites] == [
            ("till", "", 1),
            ("lint", "", 1),
            ("till-round-2", "till", 2),
        ]
        assert plan.suite("till-round-2").required_artifacts == ("traces/till-round-2/*.zip",)

    def test_asked_for_on_the_command_line_every_suite_comes_again(self, configuration: Configuration) -> None:
        plan = plan_of(configuration, Request("twice", repeat=3))

        assert [spec.name for spec in plan.suites] == [
            *("till", "lint", "till-round-2", "lint-round-2", "till-round-3", "lint-round-3")
        ]

    def test_a_chosen_suite_brings_its_rounds(self, configuration: Configuration) -> None:
        plan = plan_of(configuration, Request("twice", suites=("till",)))

        assert plan.selected == ("till", "till-round-2")
        assert [spec.name for spec in plan.suites_to_run] == ["till", "till-round-2"]


class TestDigest:
    """Two runs of one plan know each other; a plan that asks for anything else does not."""

    def test_parts_of_one_plan_share_it(self, configuration: Configuration) -> None:
        one = plan_of(configuration, Request("twice", suites=("till",)), "one")
        two = plan_of(configuration, Request("twice", suites=("lint",)), "two")

        assert one.plan_digest == two.plan_digest

    @pytest.mark.parametrize(
        "change",
        [
            {"tier": "other"},
            {"budget_seconds": 61.0},
            {"config_digest": "d"},
            {"tracked_digest": "other"},
            {"gates": (GateSpec("g", {"line": 1}),)},
            {"overrides": (Override("X", "1", weakens=True, sentence="less"),)},
            {"provenance": dataclasses.replace(NOWHERE, commit="abc")},
        ],
    )
    def test_anything_else_changes_it(self, make_plan: MakePlan, make_spec: MakeSpec, change: dict[str, Any]) -> None:
        plan = make_plan(make_spec())

        assert dataclasses.replace(plan, **change).computed_digest() != plan.plan_digest

    def test_a_suites_setting_changes_it(self, make_plan: MakePlan, make_spec: MakeSpec) -> None:
        assert make_plan(make_spec(min_tests=2)).plan_digest != make_plan(make_spec()).plan_digest

    def test_the_tracked_state_does_not_depend_on_its_order(self) -> None:
        assert digest_of_state({"a": "1", "b": "2"}) == digest_of_state({"b": "2", "a": "1"})


class TestPlanFile:
    """What is written can be read again, and nothing else can."""

    def test_it_comes_back_as_it_was(self, configuration: Configuration) -> None:
        plan = plan_of(configuration, Request("twice"))

        assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan

    @pytest.mark.parametrize(
        ("member", "value", "sentence"),
        [
            ("run_id", 5, "plan.json.run_id: expected str, found 5"),
            ("suites", {}, "plan.json.suites: expected a list"),
            ("budget_seconds", True, "plan.json.budget_seconds: expected float, found True"),
            ("provenance", None, "plan.json.provenance: expected an object"),
        ],
    )
    def test_another_shape_is_refused_with_its_place(
        self, configuration: Configuration, member: str, value: object, sentence: str
    ) -> None:
        written = {**plan_of(configuration, Request("twice")).to_json(), member: value}

        with pytest.raises(MalformedRecordError) as refused:
            Plan.from_json(written)

        assert sentence in str(refused.value)

    def test_a_missing_member_is_named(self, configuration: Configuration) -> None:
        written = plan_of(configuration, Request("twice")).to_json()
        del written["suites"][0]["priority"]

        with pytest.raises(MalformedRecordError, match=r"plan.json.suites\[0\]: priority is missing"):
            Plan.from_json(written)

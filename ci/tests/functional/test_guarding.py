"""The guard of the gate goes red itself when a gate looks away."""

import json
from pathlib import Path

import pytest

from ci.tests.functional.conftest import Project
from confidence.model.events import SessionFinished, TestFinished, event_from_line
from confidence.smoke.cases import CASES
from confidence.smoke.guard import guard_the_gate
from confidence.smoke.projects import GATES


class TestGuard:
    """It holds only while every fault meets the refusal that it must meet."""

    def test_a_gate_that_is_switched_off_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CONFIDENCE_EVENTS_DIR", raising=False)
        watched = {"no-failures", "nothing-lost", "minimum-counts"}
        cases = [case for case in CASES if case.is_quick and case.gate in {"", *watched}]
        said: list[str] = []

        results = guard_the_gate(
            quick=True, say=said.append, gates=[gate for gate in GATES if gate not in watched], cases=cases
        )

        red = {result.case.name for result in results if not result.holds}
        assert red == {"failing-test", "os-exit-zero", "all-skipped"}, "\n".join(said)

    def test_as_a_suite_its_cases_are_tests(self, shop: Project, tmp_path: Path) -> None:
        identity = {
            "CONFIDENCE_RUN_ID": "outer",
            "CONFIDENCE_RUN_DIR": str(tmp_path),
            "CONFIDENCE_SUITE": "gate-smoke",
            "CONFIDENCE_PLAN_DIGEST": "digest",
            "CONFIDENCE_COMMIT": "none",
            "CONFIDENCE_EVENTS_DIR": str(tmp_path),
        }

        ended = shop.confidence("smoke", "--quick", environment=identity)

        events = [event_from_line(line) for line in (tmp_path / "smoke.jsonl").read_text("ascii").splitlines()]
        assert ended.code == 0, ended.text
        assert ended.lines[-1] == "5 passed, 0 failed, 0 skipped"
        assert [event.outcome for event in events if isinstance(event, TestFinished)] == ["passed"] * 5
        assert isinstance(events[-1], SessionFinished)


class TestCases:
    """The list of cases keeps what it promises."""

    def test_the_quick_ones_are_five_with_the_control(self) -> None:
        quick = [case for case in CASES if case.is_quick]

        assert len(quick) == 5
        assert [case.name for case in quick if not case.gate] == ["healthy"]

    def test_names_are_unique(self) -> None:
        names = [case.name for case in CASES]

        assert json.dumps(sorted(set(names))) == json.dumps(sorted(names))

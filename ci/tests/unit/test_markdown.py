"""summary.md: the reasons come first, and a hostile name stays text."""

from collections.abc import Callable
from typing import Any

import pytest

from confidence.evidence import assemble
from confidence.gates import judge_all
from confidence.model.plan import GateSpec, Override
from confidence.reports import write_reports
from confidence.reports.markdown import code, escaped
from confidence.reports.skips import REASONS_SHOWN_MAX
from confidence.reports.wording import duration, plain, ranges, size

NewBundle = Callable[..., Any]
HOSTILE = "tests/rules.py::test_a[`<script>alert(1)</script>` | **bold** @everyone\n# heading]"


def markdown_of(bundle: Any) -> str:
    evidence = assemble(bundle.finish())
    write_reports(bundle.path, evidence, judge_all(evidence))
    text: str = (bundle.path / "summary.md").read_text(encoding="utf-8")
    return text


class TestTheSummary:
    def test_a_green_run_begins_with_green(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=(GateSpec("no-failures"),))
        bundle.healthy_suite()

        text = markdown_of(bundle)

        assert text.startswith("## Green: every gate passed")
        assert "Why it is not green" not in text

    def test_a_red_run_says_why_before_anything_else(self, new_bundle: NewBundle) -> None:
        override = Override("BILLING_COVERAGE_MIN_UTILS_LINE", "80", weakens=True, sentence="the floor is 85 %")
        bundle = new_bundle(gates=(GateSpec("no-failures"), GateSpec("no-weakening-overrides")), overrides=(override,))
        bundle.process().failed(HOSTILE)
        bundle.ending(exit_code=1)

        text = markdown_of(bundle)

        assert text.index("Weakened run") < text.index("Why it is not green") < text.index("### Suites")
        assert "- next: `confidence run --tier pr-fast`" in text

    def test_a_hostile_name_is_just_text(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=(GateSpec("no-failures"),))
        bundle.process().failed(HOSTILE)
        bundle.ending(exit_code=1)

        text = markdown_of(bundle)

        outside_code = [line for line in text.splitlines() if "script" in line and "``" not in line]
        assert all("\\<script\\>" in line for line in outside_code)
        assert "\n# heading" not in text


class TestWhatWasSkipped:
    def test_each_reason_is_said_once_with_how_many_tests_it_kept_from_running(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=(GateSpec("no-failures"),))
        process = bundle.process()
        process.passed("tests/rules.py::test_a")
        process.skipped("tests/rules.py::test_b", reason="Skipped: No credentials for the sandbox.")
        process.skipped("tests/rules.py::test_c", reason="Skipped: No credentials for the sandbox.")
        process.skipped("tests/rules.py::test_d", reason="")
        bundle.ending()

        text = markdown_of(bundle)

        assert "### Skipped (3)" in text
        assert "- 2 in rules: No credentials for the sandbox." in text
        assert "- 1 in rules: no reason was given" in text

    def test_a_run_without_skips_has_no_such_part(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=(GateSpec("no-failures"),))
        bundle.healthy_suite()

        assert "### Skipped" not in markdown_of(bundle)

    def test_of_many_reasons_the_first_are_shown_and_the_others_counted(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=(GateSpec("no-failures"),))
        process = bundle.process()
        for number in range(REASONS_SHOWN_MAX + 2):
            process.skipped(f"tests/rules.py::test_{number}", reason=f"Skipped: reason {number}")
        bundle.ending()

        assert "- and 2 more reasons, all in `junit`" in markdown_of(bundle)


class TestEscaping:
    @pytest.mark.parametrize(
        ("text", "expected"), [("a", "`a`"), ("a`b", "``a`b``"), ("`a``", "``` `a`` ```"), ("a|b\nc", "`a\\|b c`")]
    )
    def test_code_cannot_be_left(self, text: str, expected: str) -> None:
        assert code(text) == expected

    def test_text_has_no_markup_and_notifies_nobody(self) -> None:
        assert escaped("*a* <b> @team") == "\\*a\\* \\<b\\> @\u200bteam"

    def test_invisible_characters_are_spelled_out(self) -> None:
        assert plain("a\x1b[31m\u202eb\ud800") == "a\\x1b[31m\\x202eb\\xd800"


class TestFigures:
    @pytest.mark.parametrize(
        ("seconds", "expected"), [(0.34, "340 ms"), (4.24, "4.2 s"), (125, "2 min 05 s"), (0, "0 ms")]
    )
    def test_durations(self, seconds: float, expected: str) -> None:
        assert duration(seconds) == expected

    @pytest.mark.parametrize(("count", "expected"), [(512, "512 B"), (4096, "4.0 KB"), (12_900_000, "12.3 MB")])
    def test_sizes(self, count: int, expected: str) -> None:
        assert size(count) == expected

    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            ([], ""),
            ([3, 7, 8, 9, 11], "3, 7-9, 11"),
            (list(range(1, 40, 2)), "1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23 …"),
        ],
    )
    def test_line_ranges(self, lines: list[int], expected: str) -> None:
        assert ranges(lines) == expected

"""An exception to a rule carries its reason on the same line."""

from __future__ import annotations

import ast
import re

import pytest

from backend.tests.architecture.sources import Line, comments, modules, tree_of

_SWITCHES = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:\s*no\s*(cover|branch)|ruff:|mypy:|fmt:|isort:)")
# A switch is specific, and something follows that says why.
_WITH_REASON = re.compile(
    r"# (noqa: [A-Z]+[0-9]+(, [A-Z]+[0-9]+)* - \S.+"
    r"|type: ignore\[[a-z, -]+\]\s+# \S.+"
    r"|pragma: no (cover|branch) - \S.+)"
)
_MARKS_THAT_SKIP = frozenset({"skip", "skipif", "xfail"})


def without_reason(name: str, source: str) -> list[Line]:
    return [
        line for line in comments(name, source) if _SWITCHES.search(line.text) and not _WITH_REASON.search(line.text)
    ]


def skipped_without_reason(name: str, source: str) -> list[Line]:
    found = [
        Line(name, node.lineno, ast.unparse(node))
        for node in ast.walk(tree_of(source))
        if isinstance(node, ast.Attribute)
        and node.attr in _MARKS_THAT_SKIP
        and ast.unparse(node.value).endswith("mark")
    ]
    calls = (node for node in ast.walk(tree_of(source)) if isinstance(node, ast.Call))
    reasoned = {
        (call.func.lineno, ast.unparse(call.func))
        for call in calls
        if any(word.arg == "reason" and ast.unparse(word.value).strip("'\"") for word in call.keywords)
    }
    return [line for line in found if (line.number, line.text) not in reasoned]


class TestSwitches:
    def test_every_switched_off_check_says_why_on_its_line(self) -> None:
        """Without a reason nobody dares to take the exception away, and the next one is copied from it."""
        found = [line for name, source in modules() for line in without_reason(name, source)]

        assert [str(line) for line in found] == []

    @pytest.mark.parametrize(
        "line",
        [
            "x = 1  # noqa",
            "x = 1  # noqa: F401",
            "x = 1  # noqa: F401 -",
            "x = 1  # type: ignore",
            "x = 1  # type: ignore[arg-type]",
            "x = 1  # type: ignore  # because",
            "x = 1  # pragma: no cover",
            "# ruff: noqa",
        ],
    )
    def test_the_check_sees_a_switch_without_a_reason(self, line: str) -> None:
        assert without_reason("module.py", f"{line}\n")

    @pytest.mark.parametrize(
        "line",
        [
            "x = 1  # noqa: F401, S105 - a name that pytest looks for",
            "x = 1  # type: ignore[arg-type]  # rows have three columns",
            "x = 1  # pragma: no cover - only on Windows",
            "x = '# noqa'",
        ],
    )
    def test_the_check_lets_a_reasoned_one_pass(self, line: str) -> None:
        assert not without_reason("module.py", f"{line}\n")


class TestSkippedTests:
    def test_every_skipped_or_failing_test_says_why(self) -> None:
        """A skipped test counts as seen; without a reason it stays skipped for ever."""
        found = [line for name, source in modules() for line in skipped_without_reason(name, source)]

        assert [str(line) for line in found] == []

    @pytest.mark.parametrize(
        "mark", ["@pytest.mark.skip", "@pytest.mark.skip()", "@pytest.mark.xfail(strict=True)", "@mark.skip(reason='')"]
    )
    def test_the_check_sees_a_mark_without_a_reason(self, mark: str) -> None:
        assert skipped_without_reason("module.py", f"{mark}\ndef test_a(): ...\n")

    def test_the_check_lets_a_reasoned_one_pass(self) -> None:
        assert not skipped_without_reason("m.py", "@pytest.mark.skipif(A, reason='no PDF engine')\ndef test_a(): ...\n")

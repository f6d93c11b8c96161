"""The reference page and the gates say the same, so that neither drifts from the other."""

import re
from pathlib import Path

import pytest

from confidence.exit_codes import exit_code_of
from confidence.gates import GATE_NAMES
from confidence.model.verdicts import OverallStatus

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "gates.md"


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    """The text of the page by gate."""
    parts = re.split(r"^### `([a-z0-9-]+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class TestThePage:
    def test_it_has_a_section_for_each_gate_and_no_other(self, sections: dict[str, str]) -> None:
        assert set(sections) == GATE_NAMES

    @pytest.mark.parametrize("name", sorted(GATE_NAMES))
    def test_each_section_says_when_there_is_no_evidence(self, sections: dict[str, str], name: str) -> None:
        words = " ".join(sections[name].split())

        assert "**No evidence**" in words

    @pytest.mark.parametrize("status", OverallStatus)
    def test_it_names_the_exit_code_of_each_status(self, status: OverallStatus) -> None:
        rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if f"| `{status}` |" in row]

        assert [row.split("|")[-2].strip() for row in rows] == [str(exit_code_of(status).value)]

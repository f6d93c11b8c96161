"""The configuration is read strictly: what would be green without evidence is refused in a sentence."""

import copy
from pathlib import Path
from typing import Any

import pytest

from confidence.gates import GATE_NAMES
from confidence.model.plan import EvidenceKind, Priority
from confidence.suites.configuration import SUITE_SETTINGS, parse_configuration, read_configuration
from confidence.suites.errors import ConfigurationError
from confidence.suites.overrides import HANDED_DOWN, SETTINGS

REPOSITORY = Path(__file__).parents[3]
GATES = ("all-suites-ran", "no-failures")
GOOD: dict[str, Any] = {
    "project": {"name": "shop"},
    "suites": {
        "till": {"priority": "P0", "pytest": {"paths": ["tests"]}},
        "lint": {"priority": "P1", "command": ["lint"], "evidence": "exit_code"},
    },
    "tiers": {
        "quick": {
            "suites": ["till", "lint"],
            "gates": ["no-failures"],
            "budget_seconds": 60,
            "alias": "fast",
            "coverage": ["till"],
        }
    },
}


def changed(place: str, value: object) -> dict[str, Any]:
    """The good configuration with one setting changed; ``None`` removes it."""
    whole = copy.deepcopy(GOOD)
    *path, name = place.split(".")
    table = whole
    for part in path:
        table = table.setdefault(part, {})
    if value is None:
        del table[name]
    else:
        table[name] = value
    return whole


class TestGoodConfiguration:
    """What is not said has a strict default."""

    def test_suites_are_typed(self) -> None:
        suites = parse_configuration(GOOD, GATES).suites

        assert suites["till"].priority is Priority.P0
        assert (suites["till"].min_tests, suites["till"].retries, suites["till"].workers) == (1, 0, 0)
        assert suites["lint"].evidence is EvidenceKind.EXIT_CODE

    def test_a_tier_is_found_by_its_alias(self) -> None:
        assert parse_configuration(GOOD, GATES).tier("fast").name == "quick"

    def test_this_repositorys_own_is_good(self) -> None:
        configuration = read_configuration(REPOSITORY / "ci" / "confidence.toml", tuple(GATE_NAMES))

        assert list(configuration.tiers) == ["pr-fast", "merge-medium", "release-heavy"]
        assert configuration.tier("pre-release").p0_rounds == 2
        assert [configuration.tiers[tier].budget_seconds for tier in configuration.tiers] == [90, 900, 2700]


class TestBadConfiguration:
    """Each mistake is named with its place."""

    @pytest.mark.parametrize(
        ("place", "value", "sentence"),
        [
            ("suits", {}, "no section 'suits'; did you mean 'suites'"),
            ("project.name", None, "project needs the setting 'name'"),
            ("project.artifacts", "../out", "must be a relative path"),
            ("project.artifacts", "/out", "must be a relative path"),
            ("suites.till.wokers", 2, "suites.till has no setting 'wokers'; did you mean 'workers'"),
            ("suites.till.workers", "2", "suites.till.workers must be a whole number of at least 0"),
            ("suites.till.workers", True, "suites.till.workers must be a whole number"),
            ("suites.till.min_tests", 0, "suites.till.min_tests must be a whole number of at least 1"),
            ("suites.till.priority", "P7", "suites.till.priority must be one of P0, P1"),
            ("suites.till.priority", None, "suites.till needs the setting 'priority'"),
            ("suites.till.command", ["x"], "needs either a command or pytest"),
            ("suites.till.pytest", None, "needs either a command or pytest"),
            ("suites.till.pytest", {"paths": []}, "pytest would run whatever it finds"),
            ("suites.till.pytest", "tests", "suites.till.pytest must be a table"),
            ("suites.till.evidence", "exit_code", "pytest always leaves events"),
            ("suites.till.retries", 1, "retries must be 0"),
            ("suites.till.timeout_idle_seconds", 30, "must be longer than timeout_test_seconds"),
            ("suites.till.timeout_suite_seconds", 60, "must be longer than timeout_test_seconds"),
            ("suites.till.timeout_suite_seconds", 0, "must be a number greater than zero"),
            ("suites.till.required_artifacts", ["../x"], "must be a relative path"),
            ("suites.till.dist", "each", "must be one of load, loadfile"),
            ("suites.lint.command", [], "command is empty"),
            ("suites.a/b", {"priority": "P1", "command": ["x"]}, "a suite's name is also a file's name"),
            ("tiers.quick.suites", ["till", "lnt"], "there is no suite 'lnt'; did you mean 'lint'"),
            ("tiers.quick.suites", [], "nothing run or nothing judged is no verdict"),
            ("tiers.quick.suites", ["till", "till"], "names something twice"),
            ("tiers.quick.gates", [], "nothing run or nothing judged is no verdict"),
            ("tiers.quick.gates", ["no-failure"], "there is no gate 'no-failure'; did you mean 'no-failures'"),
            ("tiers.quick.coverage", ["gone"], "the tier has no suite 'gone'"),
            ("tiers.quick.budget_seconds", None, "needs the setting 'budget_seconds'"),
            ("tiers.other", {**GOOD["tiers"]["quick"]}, "two tiers answer to one name"),
            ("gates.no-such", {}, "there is no gate 'no-such'"),
        ],
    )
    def test_a_mistake_is_refused(self, place: str, value: object, sentence: str) -> None:
        with pytest.raises(ConfigurationError) as refused:
            parse_configuration(changed(place, value), GATES)

        assert sentence in str(refused.value)

    @pytest.mark.parametrize("content", [b"[project", b"\xff\xfe", b"name = 1\nname = 2"])
    def test_a_file_that_is_no_toml(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "confidence.toml").write_bytes(content)

        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_configuration(tmp_path / "confidence.toml", GATES)

    def test_a_tier_that_nobody_knows(self) -> None:
        with pytest.raises(ConfigurationError, match="did you mean 'quick'"):
            parse_configuration(GOOD, GATES).tier("quik")


class TestReference:
    """The page that explains the configuration leaves nothing out."""

    def test_every_setting_and_every_override_is_explained(self) -> None:
        page = (REPOSITORY / "docs" / "reference" / "confidence-configuration.md").read_text(encoding="utf-8")

        for name in {*SUITE_SETTINGS, *SETTINGS, *HANDED_DOWN} - {"command", "pytest"}:
            assert f"`{name}`" in page, name

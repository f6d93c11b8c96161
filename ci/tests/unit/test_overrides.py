"""Whoever asks for less is written down as weakening; whoever asks for more is only written down."""

from collections.abc import Mapping
from typing import Any

import pytest

from confidence.model.plan import NO_TIER, Override
from confidence.suites.configuration import Configuration, parse_configuration
from confidence.suites.errors import ConfigurationError
from confidence.suites.overrides import COVERAGE_GATE, HANDED_DOWN, Request, settle, tier_of


@pytest.fixture
def configuration() -> Configuration:
    """Two suites, one tier, and a floor for coverage."""
    suite = {"priority": "P0", "pytest": {"paths": ["tests"]}}
    value: dict[str, Any] = {
        "project": {"name": "shop", "coverage_override_prefix": "SHOP_MIN"},
        "suites": {"till": suite, "receipts": suite, "spare": suite, "idle": suite},
        "tiers": {
            "quick": {
                "suites": ["till", "receipts"],
                "gates": ["no-failures", COVERAGE_GATE],
                "budget_seconds": 60,
                "coverage": ["till"],
            },
            "long": {"suites": ["spare", "till"], "gates": ["no-failures"], "budget_seconds": 60},
        },
        "gates": {COVERAGE_GATE: {"classes": {"utils": {"files": ["till.py"], "line": 85, "branch": 70}}}},
    }
    return parse_configuration(value, ("no-failures", COVERAGE_GATE))


def overrides_of(configuration: Configuration, environment: Mapping[str, str]) -> dict[str, bool]:
    """For each override of the environment whether it weakens."""
    settled = settle(configuration, Request("quick"), environment)
    return {override.name: override.weakens for override in settled.overrides}


class TestWeakening:
    """Less evidence, more time and lower floors weaken."""

    @pytest.mark.parametrize(
        ("name", "less", "more"),
        [
            ("CONFIDENCE_SUITES", "till", "till,receipts,spare"),
            ("CONFIDENCE_TIMEOUT_TEST_SECONDS", "61", "59"),
            ("CONFIDENCE_TIMEOUT_IDLE_SECONDS", "121", "119"),
            ("CONFIDENCE_TIMEOUT_SUITE_SECONDS", "601", "599"),
            ("CONFIDENCE_BUDGET_SECONDS", "61", "59"),
            ("SHOP_MIN_UTILS_LINE", "84.9", "86"),
            ("SHOP_MIN_UTILS_BRANCH", "69", "71"),
        ],
    )
    def test_less_weakens_and_more_does_not(
        self, configuration: Configuration, name: str, less: str, more: str
    ) -> None:
        assert overrides_of(configuration, {name: less}) == {name: True}
        assert overrides_of(configuration, {name: more}) == {name: False}

    def test_an_empty_variable_overrides_nothing(self, configuration: Configuration) -> None:
        assert overrides_of(configuration, {"CONFIDENCE_SUITES": "", "CONFIDENCE_BUDGET_SECONDS": ""}) == {}

    def test_a_longer_deadline_on_the_command_line_weakens_too(self, configuration: Configuration) -> None:
        settled = settle(configuration, Request("quick", timeout_suite_seconds=900), {})

        assert [(override.name, override.weakens) for override in settled.overrides] == [("--timeout", True)]


class TestEffect:
    """An override does what it says, everywhere."""

    def test_a_timeout_reaches_every_suite(self, configuration: Configuration) -> None:
        settled = settle(configuration, Request("quick"), {"CONFIDENCE_TIMEOUT_SUITE_SECONDS": "77"})

        assert {spec.timeout_suite_seconds for spec in settled.suites} == {77.0}

    def test_a_floor_replaces_the_configured_one(self, configuration: Configuration) -> None:
        settled = settle(configuration, Request("quick"), {"SHOP_MIN_UTILS_LINE": "90"})

        assert settled.gates[COVERAGE_GATE]["classes"]["utils"] == {"files": ["till.py"], "line": 90, "branch": 70}

    def test_the_configuration_itself_stays_as_it_is(self, configuration: Configuration) -> None:
        settle(configuration, Request("quick"), {"SHOP_MIN_UTILS_LINE": "90"})

        assert configuration.gates[COVERAGE_GATE]["classes"]["utils"]["line"] == 85

    def test_only_the_tiers_measured_suites_are_measured(self, configuration: Configuration) -> None:
        settled = settle(configuration, Request("quick"), {})

        assert {spec.name: spec.coverage for spec in settled.suites} == {"till": True, "receipts": False}


class TestMistakes:
    """A mistyped override would silently change nothing, so it is refused."""

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("CONFIDENCE_SUITE_NAMES", "till", "there is no setting CONFIDENCE_SUITE_NAMES"),
            ("CONFIDENCE_SUITES", "til", "CONFIDENCE_SUITES: there is no suite 'til'; did you mean 'till'"),
            ("CONFIDENCE_BUDGET_SECONDS", "soon", "must be a number, not 'soon'"),
            ("CONFIDENCE_BUDGET_SECONDS", "nan", "must be a finite number"),
            ("CONFIDENCE_TIMEOUT_TEST_SECONDS", "0", "must be greater than zero"),
            ("SHOP_MIN_UTILS_LINE", "101", "must be a percentage from 0 to 100"),
            ("SHOP_MIN_UTIL_LINE", "90", "did you mean 'SHOP_MIN_UTILS_LINE'"),
        ],
    )
    def test_it_is_named(self, configuration: Configuration, name: str, value: str, sentence: str) -> None:
        with pytest.raises(ConfigurationError) as refused:
            settle(configuration, Request("quick"), {name: value})

        assert sentence in str(refused.value)

    def test_what_a_run_around_this_one_hands_down_is_passed_over(self, configuration: Configuration) -> None:
        assert overrides_of(configuration, dict.fromkeys(HANDED_DOWN, "x")) == {}


class TestSuitesWithoutTier:
    """Suites for their own sake are judged like the first tier that has one of them, and claim no tier."""

    def test_they_take_the_gates_and_lose_the_name(self, configuration: Configuration) -> None:
        tier = tier_of(configuration, Request(suites=("spare", "till")))

        assert (tier.name, tier.suites) == (NO_TIER, ("spare", "till"))
        assert tier.gates == ("no-failures", COVERAGE_GATE)

    def test_nothing_is_weakened_by_them(self, configuration: Configuration) -> None:
        overrides: tuple[Override, ...] = settle(configuration, Request(suites=("spare",)), {}).overrides

        assert overrides == ()

    def test_a_suite_without_any_tier_has_no_gates(self, configuration: Configuration) -> None:
        with pytest.raises(ConfigurationError, match="no gates are known"):
            tier_of(configuration, Request(suites=("idle",)))

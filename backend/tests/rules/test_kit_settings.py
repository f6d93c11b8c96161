"""The environment is read once, typed, and what nobody knows is refused, without repeating what it said."""

from __future__ import annotations

import pytest
from pydantic import Field, SecretStr

from billing.kit.database import parse_database_url
from billing.kit.errors import SettingsError
from billing.kit.settings import SettingsGroup, read_group, refuse_unknown
from billing.wiring.settings import read_settings

SECRET = "sk-live-4242"


class Lamp(SettingsGroup):
    """A group of settings."""

    brightness: int = Field(alias="BILLING_LAMP_BRIGHTNESS", default=3, ge=0, le=9, description="How bright.")
    key: SecretStr = Field(alias="BILLING_LAMP_KEY", default=SecretStr(""), min_length=0, max_length=5, description="?")


class TestReading:
    def test_defaults_hold_where_nothing_is_set(self) -> None:
        assert read_group(Lamp, {}).brightness == 3

    def test_a_value_is_read_as_its_type(self) -> None:
        assert read_group(Lamp, {"BILLING_LAMP_BRIGHTNESS": "7"}).brightness == 7

    def test_an_empty_variable_counts_as_unset(self) -> None:
        assert read_group(Lamp, {"BILLING_LAMP_BRIGHTNESS": ""}).brightness == 3

    @pytest.mark.parametrize("value", ["bright", "10", "-1", "3.5"])
    def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_variable(self, value: str) -> None:
        with pytest.raises(SettingsError, match="BILLING_LAMP_BRIGHTNESS"):
            read_group(Lamp, {"BILLING_LAMP_BRIGHTNESS": value})

    def test_a_refused_secret_is_not_repeated_anywhere(self) -> None:
        with pytest.raises(SettingsError) as refusal:
            read_group(Lamp, {"BILLING_LAMP_KEY": SECRET})

        assert "BILLING_LAMP_KEY" in refusal.value.sentence
        assert SECRET not in f"{refusal.value.sentence} {refusal.value.facts} {refusal.value!r}"
        assert refusal.value.__context__ is None or refusal.value.__suppress_context__

    def test_settings_cannot_be_changed_after_they_were_read(self) -> None:
        lamp = read_group(Lamp, {})

        with pytest.raises(ValueError, match="frozen"):
            lamp.brightness = 4  # type: ignore[misc]  # what mypy forbids is refused at run time too

    def test_a_secret_is_not_shown_when_the_settings_are(self) -> None:
        assert "abc" not in repr(read_group(Lamp, {"BILLING_LAMP_KEY": "abc"}))


class TestUnknownVariables:
    def test_a_misspelt_variable_is_refused_by_name_and_its_value_kept_quiet(self) -> None:
        with pytest.raises(SettingsError) as refusal:
            refuse_unknown((Lamp,), {"BILLING_LAMP_BRIGTHNESS": SECRET})

        assert "BILLING_LAMP_BRIGTHNESS" in refusal.value.sentence
        assert SECRET not in refusal.value.sentence

    def test_every_unknown_variable_is_named_at_once(self) -> None:
        with pytest.raises(SettingsError) as refusal:
            refuse_unknown((Lamp,), {"BILLING_B": "1", "BILLING_A": "1"})

        assert len(refusal.value.problems) == 2

    @pytest.mark.parametrize(
        "name",
        ["BILLING_COVERAGE_MIN_ROUTERS_LINE", "BILLING_PROBE_URL", "BILLING_SANDBOX_STRIPE_KEY", "PATH", "LAMP"],
    )
    def test_variables_of_the_gate_the_probe_and_strangers_are_passed_over(self, name: str) -> None:
        refuse_unknown((Lamp,), {name: "anything"})


class TestTheProgram:
    def test_an_empty_environment_is_a_development_machine(self) -> None:
        settings = read_settings({})

        assert not settings.deployment.is_production
        assert settings.flags.wallet
        assert not any(
            (
                settings.flags.subscriptions,
                settings.flags.identity,
                settings.flags.portal,
                settings.flags.admin,
                settings.flags.worker,
            )
        )

    def test_a_misspelt_variable_keeps_the_program_from_starting(self) -> None:
        with pytest.raises(SettingsError, match="BILLING_HOLD_TTL_SECOND is not a setting"):
            read_settings({"BILLING_HOLD_TTL_SECOND": "1"})

    def test_production_takes_no_means_of_a_rehearsal(self) -> None:
        with pytest.raises(SettingsError) as refusal:
            read_settings({"BILLING_ENV": "production", "BILLING_CLOCK_OFFSET_FILE": "offset"})

        assert [problem.split()[0] for problem in refusal.value.problems] == [
            "BILLING_CLOCK_OFFSET_FILE",
            "DATABASE_URL",
        ]


class TestDatabaseUrls:
    @pytest.mark.parametrize(
        "text",
        ["postgres://a:b@h/d", "postgresql://a:b@h/d", "postgresql+psycopg://a:b@h/d", "postgresql+asyncpg://h/d"],
    )
    def test_every_spelling_of_postgresql_gets_our_driver(self, text: str) -> None:
        assert parse_database_url(text).drivername == "postgresql+psycopg"

    @pytest.mark.parametrize("text", ["sqlite:///billing.db", "mysql://h/d", "nonsense", ""])
    def test_any_other_database_is_refused(self, text: str) -> None:
        with pytest.raises(SettingsError, match="DATABASE_URL"):
            parse_database_url(text)

    def test_the_password_of_a_refused_url_is_not_repeated(self) -> None:
        with pytest.raises(SettingsError) as refusal:
            parse_database_url(f"mysql://user:{SECRET}@host/database")

        assert SECRET not in refusal.value.sentence


class TestWhatContradicts:
    def test_a_hold_that_could_end_before_its_call_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="a hold outlives its call"):
            read_settings({"BILLING_HOLD_TTL_SECONDS": "60", "BILLING_UPSTREAM_TOTAL_TIMEOUT_SECONDS": "60"})

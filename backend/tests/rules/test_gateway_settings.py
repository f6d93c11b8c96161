"""Where models lead is read once, from a file that has to be there if it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from billing.gateway.settings import GatewaySettings
from billing.kit.errors import SettingsError
from billing.kit.settings import read_group
from billing.quotas.settings import QuotaSettings


class TestTheRoutesFile:
    def test_that_is_not_named_leads_nowhere(self) -> None:
        assert read_group(GatewaySettings, {}).read_routes().models == frozenset()

    def test_is_read_from_where_the_variable_says(self, tmp_path: Path) -> None:
        file = tmp_path / "routes.toml"
        file.write_text(
            '[upstreams.a]\nbase_url = "http://127.0.0.1:1/v1"\napi_key = "k"\n'
            '[models.m]\nupstream = "a"\nupstream_model = "theirs"\n'
        )

        routes = read_group(GatewaySettings, {"BILLING_MODEL_ROUTES_FILE": str(file)}).read_routes()

        assert routes.of("m").targets[0].upstream_model == "theirs"
        assert "k" not in repr(routes.of("m").targets[0].api_key)

    @pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not text"])
    def test_that_cannot_be_read_stops_the_start(self, content: bytes | None, tmp_path: Path) -> None:
        file = tmp_path / "routes.toml"
        if content is not None:
            file.write_bytes(content)

        with pytest.raises(SettingsError):
            read_group(GatewaySettings, {"BILLING_MODEL_ROUTES_FILE": str(file)}).read_routes()


class TestLimits:
    @pytest.mark.parametrize(
        ("group", "variable", "value"),
        [
            (GatewaySettings, "BILLING_UPSTREAM_TOTAL_TIMEOUT_SECONDS", "900"),
            (GatewaySettings, "BILLING_GATEWAY_OUTPUT_TOKENS_DEFAULT", "0"),
            (GatewaySettings, "BILLING_GATEWAY_CHOICES_MAX", "0"),
            (QuotaSettings, "BILLING_FREE_RESERVATION_TTL_SECONDS", "0"),
        ],
    )
    def test_outside_their_bounds_are_refused(
        self, group: type[GatewaySettings | QuotaSettings], variable: str, value: str
    ) -> None:
        with pytest.raises(SettingsError, match=variable):
            read_group(group, {variable: value})

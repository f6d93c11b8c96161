"""Every door of the application belongs to one feature flag, or is open by decision."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from billing.kit.database import parse_database_url
from billing.main import create_app
from billing.wiring.feature_flags import Doors
from billing.wiring.services import services
from billing.wiring.settings import FeatureFlags, read_settings

# Open whatever the flags say: health, who somebody is, what pages look like, and notifications about money under way.
ALWAYS_OPEN = frozenset(
    {
        "/",
        "/api/v1/api-keys",
        "/api/v1/api-keys/{api_key_id}",
        "/api/v1/me",
        "/api/v1/session",
        "/healthz",
        "/openapi.json",
        "/readyz",
        "/sign-in",
        "/sign-out",
        "/static/{version}",
        "/version",
        "/webhooks/stripe",
        "/webhooks/yookassa",
    }
)


@pytest.fixture(scope="module")
async def app() -> AsyncIterator[FastAPI]:
    """The application, built but never asked: no database is behind it."""
    async with services(read_settings({}), parse_database_url("postgresql://nobody@127.0.0.1:9/none")) as built:
        yield create_app(built)


def flags_that_close(path: str) -> list[str]:
    return [
        flag
        for flag in FeatureFlags.model_fields
        if Doors(
            FeatureFlags.model_validate(
                {str(field.alias): name != flag for name, field in FeatureFlags.model_fields.items()}
            )
        ).is_closed(path)
    ]


class TestDoors:
    def test_every_route_has_one_flag_or_is_open_by_decision(self, app: FastAPI) -> None:
        """A route that no flag closes stays reachable in an installation that has switched its feature off."""
        paths = {context.path for context in iter_route_contexts(app.routes) if context.path is not None}

        flags = {path: flags_that_close(path) for path in paths - ALWAYS_OPEN}
        assert {path: closing for path, closing in flags.items() if len(closing) != 1} == {}

    def test_what_is_open_by_decision_exists_and_is_open(self, app: FastAPI) -> None:
        """A decision about a route that is gone would open whatever takes its name next."""
        paths = {context.path for context in iter_route_contexts(app.routes)}

        assert ALWAYS_OPEN - paths == set()
        assert [path for path in ALWAYS_OPEN if flags_that_close(path)] == []

    def test_every_flag_but_the_workers_closes_something(self) -> None:
        """A flag that closes nothing is believed all the same."""
        closed = {
            flag
            for path in ("/billing", "/api/v1/billing/plans", "/internal/billing", "/portal/billing", "/admin", "/v1/x")
            for flag in flags_that_close(path)
        }

        assert closed == set(FeatureFlags.model_fields) - {"worker"}

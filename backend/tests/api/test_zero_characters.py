"""An address with a zero character is refused in one way, whatever route it would lead to."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.engine import URL

from backend.tests.fakes.http_server import serving
from billing.main import create_app
from billing.wiring.services import services
from billing.wiring.settings import FeatureFlags, read_settings
from testkit.loopback import NO_TLS

FLAGS = tuple(str(field.alias) for field in FeatureFlags.model_fields.values())


@pytest.fixture
async def app(database_url: URL) -> AsyncIterator[FastAPI]:
    """The whole application, with every door open."""
    async with services(read_settings(dict.fromkeys(FLAGS, "1")), database_url) as built:
        yield create_app(built)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody on loopback."""
    async with serving(app) as url, httpx.AsyncClient(verify=NO_TLS, base_url=url) as client:
        yield client


def doors(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of everything that the application describes."""
    return [(method.upper(), path) for path, ways in app.openapi()["paths"].items() for method in ways]


class TestAZeroCharacter:
    async def test_in_an_id_is_refused_by_every_route(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        with_ids = [(method, path) for method, path in doors(app) if "{" in path]

        answers = {
            (method, path): await client.request(method, re.sub(r"\{[^}]*\}", "a%00b", path))
            for method, path in with_ids
        }

        assert len(with_ids) >= 5
        assert {door: answer.status_code for door, answer in answers.items() if answer.status_code != 400} == {}
        assert {answer.json()["error"]["code"] for answer in answers.values()} == {"invalid_request"}

    async def test_in_a_query_is_refused_by_every_route(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        answers = {(method, path): await client.request(method, f"{path}?cursor=a%00b") for method, path in doors(app)}

        assert len(answers) >= 20
        assert {door: answer.status_code for door, answer in answers.items() if answer.status_code != 400} == {}

    @pytest.mark.parametrize("path", ["/%00", "/billing/topup/%00", "/static/%00.css", "/v1/models/%00"])
    async def test_anywhere_in_a_path_is_a_refusal_and_no_bug(self, path: str, client: httpx.AsyncClient) -> None:
        answer = await client.get(path)

        assert answer.status_code == 400

    async def test_that_was_escaped_twice_is_an_ordinary_text(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/healthz?note=%2500")

        assert answer.status_code == 200

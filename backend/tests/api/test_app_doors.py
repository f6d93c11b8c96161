"""Every request meets the same application: its ids, its flags, its base path, its health, its one way to refuse."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
import structlog
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from psycopg import OperationalError
from sqlalchemy.engine import URL
from structlog.testing import capture_logs

from backend.tests.fakes.http_server import serving
from billing import __version__, migrations
from billing.kit.database import parse_database_url
from billing.kit.errors import InvalidInput
from billing.main import create_app
from billing.wiring.services import services
from billing.wiring.settings import FeatureFlags, read_settings
from testkit.loopback import NO_TLS

SECRET = "sk-live-4242"
REQUEST_ID = re.compile(r"req_[0-9a-z]{26}")
NOWHERE = parse_database_url("postgresql://nobody@127.0.0.1:9/none")

FLAGS = tuple(str(field.alias) for field in FeatureFlags.model_fields.values())

Opened = AbstractAsyncContextManager[httpx.AsyncClient]
Open = Callable[..., Opened]


def add_failing_routes(app: FastAPI) -> None:
    """Ways in which any route can fail."""

    @app.get("/tests/refusal")
    async def refusal() -> None:
        raise InvalidInput("amount", "That is no amount.")

    @app.get("/tests/bug")
    async def bug() -> None:
        raise RuntimeError(SECRET)

    @app.get("/tests/bug-in-the-middle")
    async def bug_in_the_middle() -> StreamingResponse:
        async def halves() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError(SECRET)

        return StreamingResponse(halves(), headers={"Content-Length": "8"})

    @app.get("/tests/database-down")
    async def database_down() -> None:
        raise OperationalError(SECRET)

    @app.get("/tests/number/{number}")
    async def number(number: int) -> int:
        return number


@pytest.fixture(scope="module")
def open_app(database_url: URL) -> Open:
    """Serves the whole application over this environment; gives a client."""

    @asynccontextmanager
    async def opened(url: URL = database_url, **environ: str) -> AsyncIterator[httpx.AsyncClient]:
        async with services(read_settings(environ), url) as built:
            app = create_app(built)
            add_failing_routes(app)
            async with (
                serving(app) as address,
                httpx.AsyncClient(verify=NO_TLS, base_url=address, trust_env=False) as client,
            ):
                yield client

    return opened


@pytest.fixture(scope="module")
async def client(open_app: Open) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application with every setting at its default."""
    async with open_app() as client:
        yield client


@pytest.fixture(scope="module")
async def closed(open_app: Open) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with every door closed."""
    async with open_app(**dict.fromkeys(FLAGS, "false")) as client:
        yield client


@pytest.fixture(scope="module")
async def wide_open(open_app: Open) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with every door open."""
    async with open_app(**dict.fromkeys(FLAGS, "true")) as client:
        yield client


class TestHealth:
    async def test_a_process_that_lives_says_so_without_asking_anybody(self, open_app: Open) -> None:
        async with open_app(NOWHERE) as client:
            answer = await client.get("/healthz")

        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    async def test_a_process_on_a_migrated_database_is_ready_even_while_no_worker_runs(
        self, client: httpx.AsyncClient
    ) -> None:
        answer = await client.get("/readyz")

        checks = answer.json()["checks"]
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
        assert {name: check["ok"] for name, check in checks.items()} == {
            "database": True,
            "migrations": True,
            "worker": False,
            "webhooks": True,
        }

    async def test_an_old_schema_is_not_ready_and_both_revisions_are_named(
        self, open_app: Open, own_database: URL
    ) -> None:
        migrations.downgrade(own_database, "0004")

        async with open_app(own_database) as client:
            answer = await client.get("/readyz")

        sentence = answer.json()["checks"]["migrations"]["message"]
        assert answer.status_code == 503
        assert "0004" in sentence
        assert migrations.newest_revision() in sentence

    async def test_a_database_that_is_away_makes_it_unready_and_breaks_nothing(self, open_app: Open) -> None:
        async with open_app(NOWHERE) as client:
            answer = await client.get("/readyz")

        assert (answer.status_code, answer.json()["checks"]["database"]["ok"]) == (503, False)
        assert "127.0.0.1" not in answer.text

    async def test_it_says_which_version_runs(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/version")).json() == {"version": __version__}


class TestFeatureFlags:
    """Which flag closes what is told in the architecture suite; here is what a closed door does."""

    PATHS = (
        "/admin",
        "/api/v1/billing/plan",
        "/api/v1/billing/plan/quote",
        "/api/v1/billing/wallet",
        "/billing/balance",
        "/internal/billing/usage",
        "/portal/billing",
        "/super-admin/billing/holds",
        "/v1/chat/completions",
    )

    @pytest.mark.parametrize("path", PATHS)
    async def test_a_closed_door_answers_billing_disabled_whatever_is_behind_it(
        self, closed: httpx.AsyncClient, path: str
    ) -> None:
        answers = [await closed.request(method, path, content=b"{") for method in ("GET", "POST", "DELETE")]

        assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {
            (404, "billing_disabled")
        }

    @pytest.mark.parametrize("path", PATHS)
    async def test_an_open_door_does_not(self, wide_open: httpx.AsyncClient, path: str) -> None:
        assert "billing_disabled" not in (await wide_open.get(path)).text

    async def test_a_closed_door_stays_closed_under_a_base_path(self, open_app: Open) -> None:
        async with open_app(
            ENABLE_BILLING_WALLET="false", BILLING_PUBLIC_BASE_URL="https://shop.example/chat"
        ) as client:
            answers = [await client.get(path) for path in ("/chat/billing/balance", "/billing/balance")]

        assert [answer.status_code for answer in answers] == [404, 404]
        assert all(answer.json()["error"]["code"] == "billing_disabled" for answer in answers)

    async def test_a_path_that_only_begins_alike_is_not_behind_the_door(self, closed: httpx.AsyncClient) -> None:
        answer = await closed.get("/billingual")

        assert answer.json()["error"]["code"] == "not_found"

    async def test_notifications_about_money_under_way_are_never_shut_out(self, closed: httpx.AsyncClient) -> None:
        answer = await closed.post("/webhooks/yookassa", json={})

        assert "billing_disabled" not in answer.text


class TestErrorBodies:
    async def test_a_refusal_answers_with_its_code_sentence_and_facts(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/tests/refusal")

        assert answer.status_code == 400
        assert answer.json() == {
            "error": {"code": "invalid_request", "message": "That is no amount.", "field": "amount"}
        }

    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/nowhere", 404, "not_found"),
            ("DELETE", "/healthz", 405, "method_not_allowed"),
            ("GET", "/tests/number/many", 400, "invalid_request"),
            ("GET", "/api/v1/billing/topups/pay_1", 401, "not_signed_in"),
        ],
    )
    async def test_every_error_has_a_code_that_programs_can_read(
        self, client: httpx.AsyncClient, method: str, path: str, status: int, code: str
    ) -> None:
        answer = await client.request(method, path)

        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)

    async def test_a_bug_answers_an_id_and_its_words_go_to_our_own_log_only(
        self, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with capture_logs() as logs:
            answer = await client.get("/tests/bug")

        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (500, "internal_error")
        assert error["request_id"] == answer.headers["X-Request-Id"]
        assert SECRET not in answer.text
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["bug"]
        assert caplog.text == ""

    async def test_a_bug_after_the_answer_has_begun_cuts_the_connection_and_tells_the_server_nothing(
        self, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with capture_logs() as logs, pytest.raises(httpx.RemoteProtocolError):
            await client.get("/tests/bug-in-the-middle")

        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["bug"]
        assert SECRET not in caplog.text

    @pytest.mark.parametrize("path", ["/tests/database-down", "/api/v1/me"])
    async def test_without_a_database_everything_about_money_fails_closed(self, open_app: Open, path: str) -> None:
        async with open_app(NOWHERE) as client:
            answer = await client.get(path, headers={"Authorization": "Bearer bk_" + "0" * 54})

        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "billing_unavailable")
        assert answer.headers["Retry-After"].isdigit()
        assert SECRET not in answer.text

    async def test_a_browser_gets_a_page_and_a_program_gets_json(self, client: httpx.AsyncClient) -> None:
        page = await client.get("/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
        body = await client.get("/api/v1/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})

        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (404, "text/html")
        assert (body.status_code, body.json()["error"]["code"]) == (404, "not_found")


class TestRequestIds:
    async def test_every_answer_carries_an_id_of_its_own(self, client: httpx.AsyncClient) -> None:
        paths = ("/healthz", "/nowhere", "/tests/bug", "/admin", "/tests/refusal")

        ids = [(await client.get(path)).headers["X-Request-Id"] for path in paths]

        assert len(set(ids)) == len(paths)
        assert all(REQUEST_ID.fullmatch(one) for one in ids)

    async def test_a_clients_own_id_is_not_taken_over(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/healthz", headers={"X-Request-Id": "req_chosen"})

        assert answer.headers.get_list("X-Request-Id") != ["req_chosen"]

    async def test_log_lines_of_a_request_carry_its_id(self, client: httpx.AsyncClient) -> None:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            answer = await client.get("/tests/bug")

        assert [line.get("request_id") for line in logs] == [answer.headers["X-Request-Id"]]


class TestBasePaths:
    @pytest.mark.parametrize("base_path", ["/chat", "/a/b"])
    async def test_routes_answer_with_and_without_the_base_path_that_a_proxy_may_strip(
        self, open_app: Open, base_path: str
    ) -> None:
        async with open_app(BILLING_PUBLIC_BASE_URL=f"https://shop.example{base_path}") as client:
            answers = [await client.get(path) for path in (f"{base_path}/healthz", "/healthz")]

        assert [answer.status_code for answer in answers] == [200, 200]

    @pytest.mark.parametrize("path", ["/chatter/healthz", "/chat/chat/healthz", "/other/healthz"])
    async def test_only_the_base_path_itself_is_taken_off_and_once(self, open_app: Open, path: str) -> None:
        async with open_app(BILLING_PUBLIC_BASE_URL="https://shop.example/chat") as client:
            assert (await client.get(path)).status_code == 404

    async def test_nothing_redirects_between_a_path_and_the_same_path_with_a_slash(
        self, client: httpx.AsyncClient
    ) -> None:
        assert (await client.get("/healthz/")).status_code == 404


class TestDescription:
    async def test_no_page_loads_scripts_of_strangers(self, client: httpx.AsyncClient) -> None:
        pages = [await client.get(path) for path in ("/docs", "/redoc")]

        assert [page.status_code for page in pages] == [404, 404]

    async def test_the_api_describes_itself(self, client: httpx.AsyncClient) -> None:
        described = json.loads((await client.get("/openapi.json")).text)

        assert "/v1/chat/completions" in described["paths"]

"""Sessions, callers and API keys over real HTTP: cookies, CSRF, statuses, tenancy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse
from sqlalchemy import func, select

from backend.tests.builders.customers import PASSWORD, Customer, Town, customers_service, fresh_email
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.http_server import serving
from billing.customers.access import Caller, SessionCookies
from billing.customers.endpoints import router
from billing.customers.models import ApiKeyRow, AuditEntryRow
from billing.customers.rules import AccountKind, OperatorRole, Role, Scope
from billing.customers.service import CustomersService
from billing.customers.settings import CustomersSettings
from billing.http_errors import body_of, headers_of, status_of
from billing.kit.client_address import TrustedProxies
from billing.kit.errors import BillingError
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin
from testkit.loopback import NO_TLS

LIFETIME = CustomersSettings().session_lifetime


@pytest.fixture
def town(begin: Begin, clock: StoppedClock, ids: Ids) -> Town:
    """Where customers come from."""
    return Town(customers_service(begin, clock, ids), begin)


@pytest.fixture
async def server_url(town: Town) -> AsyncIterator[str]:
    """The customers' endpoints on loopback, beside one form of a page."""
    async with serving(application(town.service, "http://billing.test/")) as url:
        yield url


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that nobody has signed in to yet; keeps cookies."""
    async with httpx.AsyncClient(verify=NO_TLS, base_url=server_url) as client:
        yield client


def application(customers: CustomersService, public_base: str) -> FastAPI:
    """The capability's endpoints alone, with refusals rendered."""
    app = FastAPI()
    app.state.services = {
        CustomersService: customers,
        SessionCookies: SessionCookies.for_public_base(public_base, lifetime=LIFETIME),
        TrustedProxies: TrustedProxies(0),
    }
    app.include_router(router)

    @app.post("/form")
    async def form(caller: Caller, note: Annotated[str, Form()]) -> dict[str, str]:
        return {"account": caller.account_id, "note": note}

    @app.exception_handler(BillingError)
    async def refuse(_request: Request, refusal: Exception) -> JSONResponse:
        assert isinstance(refusal, BillingError)
        return JSONResponse(body_of(refusal), status_of(refusal), headers_of(refusal))

    return app


async def sign_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    """Signs in as a page does."""
    return await client.post("/api/v1/session", json={"email": email, "password": password})


@asynccontextmanager
async def browser_of(server_url: str, customer: Customer) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in which this customer is signed in, whose pages send the CSRF token."""
    async with httpx.AsyncClient(
        verify=NO_TLS,
        base_url=server_url,
        cookies={"billing_session": customer.session.token},
        headers={"X-CSRF-Token": customer.session.csrf_token},
    ) as client:
        yield client


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """The refusal's status and code."""
    return answer.status_code, answer.json()["error"]["code"]


class TestSigningIn:
    async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
        self, town: Town, client: httpx.AsyncClient
    ) -> None:
        ada = await town.customer()

        answer = await sign_in(client, ada.email)

        assert answer.status_code == 201
        name, *attributes = answer.headers["set-cookie"].split("; ")
        assert name.startswith("billing_session=")
        assert set(attributes) == {"HttpOnly", "Max-Age=604800", "Path=/", "SameSite=lax"}
        assert answer.headers["cache-control"] == "no-store"

    async def test_behind_tls_at_a_base_path_the_cookie_stays_there(self, town: Town) -> None:
        ada = await town.customer()
        app = application(town.service, "https://example.com/a/b/")

        async with serving(app) as url, httpx.AsyncClient(verify=NO_TLS, base_url=url) as client:
            answer = await sign_in(client, ada.email)

        attributes = answer.headers["set-cookie"].split("; ")[1:]
        assert "Path=/a/b" in attributes
        assert "Secure" in attributes

    async def test_the_body_carries_no_session_token(self, town: Town, client: httpx.AsyncClient) -> None:
        ada = await town.customer()

        answer = await sign_in(client, ada.email)

        assert set(answer.json()) == {"csrf_token", "expires_at"}
        assert client.cookies["billing_session"] not in answer.text

    async def test_a_wrong_password_gets_no_cookie(self, town: Town, client: httpx.AsyncClient) -> None:
        ada = await town.customer()

        answer = await sign_in(client, ada.email, "not the password")

        assert code_of(answer) == (401, "credentials_wrong")
        assert "set-cookie" not in answer.headers

    async def test_too_many_failures_say_when_to_come_back(self, client: httpx.AsyncClient) -> None:
        email = fresh_email()
        for _ in range(10):
            await sign_in(client, email)

        answer = await sign_in(client, email)

        assert code_of(answer) == (429, "too_many_attempts")
        assert answer.headers["retry-after"] == "900"

    async def test_a_forwarded_header_buys_no_more_guesses(self, begin: Begin, clock: StoppedClock, ids: Ids) -> None:
        two = CustomersSettings.model_validate({"BILLING_SIGN_IN_ATTEMPTS_PER_ADDRESS": 2})
        clock.move(timedelta(days=1))  # every test of this file comes from one address: leave their window
        app = application(customers_service(begin, clock, ids, settings=two), "http://billing.test/")
        codes = []

        async with serving(app) as url, httpx.AsyncClient(verify=NO_TLS, base_url=url) as client:
            for turn in range(3):
                client.headers["X-Forwarded-For"] = f"192.0.2.{turn}"
                codes.append(code_of(await sign_in(client, fresh_email()))[1])

        assert codes == ["credentials_wrong", "credentials_wrong", "too_many_attempts"]

    @pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}])
    async def test_another_site_cannot_sign_its_victim_in(
        self, town: Town, client: httpx.AsyncClient, headers: dict[str, str]
    ) -> None:
        eve = await town.customer()

        # Another site can send JSON as text or as nothing in particular; only our scripts can say that it is JSON.
        answer = await client.post(
            "/api/v1/session",
            content=f'{{"email": "{eve.email}", "password": "{PASSWORD}"}}',
            headers=headers,
        )

        assert answer.status_code == 422
        assert "set-cookie" not in answer.headers

    async def test_a_role_cannot_be_asked_for(self, town: Town, client: httpx.AsyncClient) -> None:
        ada = await town.customer()

        answer = await client.post(
            "/api/v1/session", json={"email": ada.email, "password": PASSWORD, "operator_role": "super_admin"}
        )

        assert answer.status_code == 422

    async def test_signing_in_again_ends_the_browsers_earlier_session(
        self, town: Town, client: httpx.AsyncClient
    ) -> None:
        ada = await town.customer()
        await sign_in(client, ada.email)
        earlier = client.cookies["billing_session"]

        await sign_in(client, ada.email)

        answer = await client.get("/api/v1/me", headers={"Cookie": f"billing_session={earlier}"})
        assert code_of(answer) == (401, "not_signed_in")


class TestSigningOut:
    async def test_the_session_ends_and_the_cookie_goes(self, town: Town, client: httpx.AsyncClient) -> None:
        ada = await town.customer()
        csrf_token = (await sign_in(client, ada.email)).json()["csrf_token"]
        token = client.cookies["billing_session"]

        answer = await client.delete("/api/v1/session", headers={"X-CSRF-Token": csrf_token})

        assert answer.status_code == 204
        assert "billing_session" not in client.cookies
        answer = await client.get("/api/v1/me", headers={"Cookie": f"billing_session={token}"})
        assert code_of(answer) == (401, "not_signed_in")

    async def test_without_a_session_there_is_nothing_to_do(self, client: httpx.AsyncClient) -> None:
        assert (await client.delete("/api/v1/session")).status_code == 204

    async def test_another_site_cannot_sign_its_visitor_out(self, town: Town, server_url: str) -> None:
        async with browser_of(server_url, await town.customer()) as client:
            answer = await client.delete("/api/v1/session", headers={"X-CSRF-Token": ""})

            assert code_of(answer) == (403, "csrf_failed")
            assert (await client.get("/api/v1/me")).status_code == 200


class TestWhoAmI:
    async def test_a_plain_member_sees_themselves_and_what_they_may_do(self, town: Town, server_url: str) -> None:
        firm = await town.customer(kind=AccountKind.ORGANISATION, time_zone="Europe/Berlin")
        grace = await town.colleague(firm.account, Role.MEMBER)

        async with browser_of(server_url, grace) as client:
            answer = await client.get("/api/v1/me")

        assert answer.status_code == 200
        assert answer.json() == {
            "account": {
                "id": firm.account.id,
                "kind": "organisation",
                "name": "Ada Lovelace",
                "time_zone": "Europe/Berlin",
            },
            "person_id": grace.principal.person_id,
            "email": grace.email,
            "role": "member",
            "operator_role": None,
            "permissions": ["models:call", "billing:read"],
            "api_key_id": None,
            "csrf_token": grace.session.csrf_token,
        }

    async def test_an_operator_sees_their_role(self, town: Town, server_url: str) -> None:
        async with browser_of(server_url, await town.customer(operator_role=OperatorRole.SUPPORT)) as client:
            assert (await client.get("/api/v1/me")).json()["operator_role"] == "support"

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Cookie": "billing_session="}, {"Cookie": "billing_session=nonsense"}, {"Authorization": "Basic YTpi"}],
    )
    async def test_nobody_is_told_to_sign_in(self, client: httpx.AsyncClient, headers: dict[str, str]) -> None:
        assert code_of(await client.get("/api/v1/me", headers=headers)) == (401, "not_signed_in")

    @pytest.mark.parametrize("claim", [{"X-Operator-Role": "super_admin"}, {"X-Role": "owner"}])
    async def test_a_role_in_a_header_is_not_believed(self, town: Town, server_url: str, claim: dict[str, str]) -> None:
        firm = await town.customer(kind=AccountKind.ORGANISATION)
        grace = await town.colleague(firm.account, Role.MEMBER)

        async with browser_of(server_url, grace) as client:
            answer = (await client.get("/api/v1/me", headers=claim)).json()

        assert (answer["role"], answer["operator_role"]) == ("member", None)

    async def test_a_key_acts_without_cookie_and_csrf_token(self, town: Town, client: httpx.AsyncClient) -> None:
        ada = await town.customer()
        key = await town.service.create_api_key(ada.principal, "ci", scopes=[Scope.CHAT], request_id="req_1")

        answer = await client.get("/api/v1/me", headers={"Authorization": f"bearer {key.secret}"})

        assert answer.json()["api_key_id"] == key.id
        assert answer.json()["csrf_token"] is None
        assert answer.json()["permissions"] == ["models:call"]

    @pytest.mark.parametrize("credentials", ["Bearer", "Bearer nonsense", "Bearer bk_" + "a" * 54, "Bearer \xff"])
    async def test_a_wrong_key_is_refused_even_beside_a_good_cookie(
        self, town: Town, server_url: str, credentials: str
    ) -> None:
        async with browser_of(server_url, await town.customer()) as client:
            answer = await client.get("/api/v1/me", headers=[(b"Authorization", credentials.encode("latin-1"))])

        assert code_of(answer) == (401, "api_key_invalid")


class TestCsrf:
    async def test_a_form_of_ours_carries_the_token_in_a_field(self, town: Town, server_url: str) -> None:
        ada = await town.customer()

        async with browser_of(server_url, ada) as client:
            del client.headers["X-CSRF-Token"]
            answer = await client.post("/form", data={"csrf_token": ada.session.csrf_token, "note": "hello"})

        assert answer.json() == {"account": ada.account.id, "note": "hello"}

    @pytest.mark.parametrize("token", ["", "nonsense", "é"])
    async def test_a_form_of_another_site_does_not(self, town: Town, server_url: str, token: str) -> None:
        async with browser_of(server_url, await town.customer()) as client:
            del client.headers["X-CSRF-Token"]
            answer = await client.post("/form", data={"csrf_token": token, "note": "hello"})

        assert code_of(answer) == (403, "csrf_failed")

    async def test_the_token_of_another_session_is_wrong(self, town: Town, server_url: str) -> None:
        ada, eve = await town.customer(), await town.customer()

        async with browser_of(server_url, ada) as client:
            answer = await client.post(
                "/api/v1/api-keys", json={"name": "x"}, headers={"X-CSRF-Token": eve.session.csrf_token}
            )

        assert code_of(answer) == (403, "csrf_failed")

    async def test_a_file_in_the_tokens_place_is_no_token(self, town: Town, server_url: str) -> None:
        ada = await town.customer()

        async with browser_of(server_url, ada) as client:
            del client.headers["X-CSRF-Token"]
            answer = await client.post(
                "/form", files={"csrf_token": ada.session.csrf_token.encode()}, data={"note": "hello"}
            )

        assert code_of(answer) == (403, "csrf_failed")

    @pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/api-keys"), ("DELETE", "/api/v1/api-keys/key_1")])
    async def test_every_change_by_cookie_needs_it(
        self, town: Town, server_url: str, begin: Begin, method: str, path: str
    ) -> None:
        ada = await town.customer()

        async with browser_of(server_url, ada) as client:
            del client.headers["X-CSRF-Token"]
            answer = await client.request(method, path, json={"name": "x"})

        assert code_of(answer) == (403, "csrf_failed")
        assert await keys_and_entries(begin, ada) == (0, 0)


class TestApiKeys:
    async def test_a_key_is_made_used_and_revoked(self, town: Town, server_url: str, begin: Begin) -> None:
        ada = await town.customer()
        async with browser_of(server_url, ada) as client:
            made = await client.post("/api/v1/api-keys", json={"name": "laptop", "scopes": ["chat", "billing:read"]})
            key = made.json()["api_key"]
            bearer = {"Authorization": f"Bearer {made.json()['secret']}"}

            assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
            assert key["scopes"] == ["billing:read", "chat"]
            assert (await client.get("/api/v1/me", headers=bearer)).json()["api_key_id"] == key["id"]
            for _ in range(2):
                assert (await client.delete(f"/api/v1/api-keys/{key['id']}")).status_code == 204
            assert code_of(await client.get("/api/v1/me", headers=bearer)) == (401, "api_key_invalid")

        assert await keys_and_entries(begin, ada) == (1, 2)

    async def test_the_list_shows_no_secret_and_pages_by_cursor(self, town: Town, server_url: str) -> None:
        async with browser_of(server_url, await town.customer()) as client:
            secrets = [
                (await client.post("/api/v1/api-keys", json={"name": f"key {number}"})).json()["secret"]
                for number in range(3)
            ]
            first = await client.get("/api/v1/api-keys", params={"limit": 2})
            rest = await client.get("/api/v1/api-keys", params={"limit": 2, "cursor": first.json()["next_cursor"]})

        names = [item["name"] for page in (first, rest) for item in page.json()["items"]]
        assert sorted(names) == ["key 0", "key 1", "key 2"]
        assert rest.json()["next_cursor"] is None
        assert not any(secret in first.text + rest.text for secret in secrets)

    async def test_another_accounts_key_is_not_found_and_unharmed(
        self, town: Town, server_url: str, begin: Begin
    ) -> None:
        ada, eve = await town.customer(), await town.customer()
        key = await town.service.create_api_key(ada.principal, "ci", scopes=["chat"], request_id="req_1")

        async with browser_of(server_url, eve) as client:
            answer = await client.delete(f"/api/v1/api-keys/{key.id}")

        assert code_of(answer) == (404, "api_key_not_found")
        assert (await town.service.principal_of_api_key(key.secret)).api_key_id == key.id
        assert await keys_and_entries(begin, eve) == (0, 0)

    @pytest.mark.parametrize("role", [Role.MEMBER, Role.AUDITOR])
    async def test_a_plain_member_may_look_but_not_make(self, town: Town, server_url: str, role: Role) -> None:
        firm = await town.customer(kind=AccountKind.ORGANISATION)

        async with browser_of(server_url, await town.colleague(firm.account, role)) as client:
            looked = await client.get("/api/v1/api-keys")
            made = await client.post("/api/v1/api-keys", json={"name": "x"})

        assert looked.status_code == 200
        assert code_of(made) == (403, "forbidden")

    async def test_an_operator_is_no_member_of_other_accounts(self, town: Town, server_url: str) -> None:
        ada, operator = await town.customer(), await town.customer(operator_role=OperatorRole.SUPER_ADMIN)
        key = await town.service.create_api_key(ada.principal, "ci", scopes=["chat"], request_id="req_1")

        async with browser_of(server_url, operator) as client:
            answer = await client.delete(f"/api/v1/api-keys/{key.id}")

        assert code_of(answer) == (404, "api_key_not_found")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": 1},
            {"scopes": []},
            {"scopes": ["all"]},
            {"expires_at": "2030-01-01T00:00:00"},
            {"account_id": "acc_1"},
        ],
    )
    async def test_a_malformed_request_makes_nothing(
        self, town: Town, server_url: str, begin: Begin, wrong: dict[str, object]
    ) -> None:
        ada = await town.customer()

        async with browser_of(server_url, ada) as client:
            answer = await client.post("/api/v1/api-keys", json={"name": "laptop", **wrong})

        assert answer.status_code == 422
        assert await keys_and_entries(begin, ada) == (0, 0)

    async def test_a_key_that_has_ended_already_is_refused(
        self, town: Town, server_url: str, clock: StoppedClock
    ) -> None:
        async with browser_of(server_url, await town.customer()) as client:
            answer = await client.post(
                "/api/v1/api-keys", json={"name": "laptop", "expires_at": clock.now().isoformat()}
            )

        assert code_of(answer) == (400, "invalid_request")


async def keys_and_entries(begin: Begin, customer: Customer) -> tuple[int, int]:
    """How many keys and audit entries the customer's account has."""
    async with begin() as uow:
        keys = select(func.count()).select_from(ApiKeyRow).where(ApiKeyRow.account_id == customer.account.id)
        entries = select(func.count()).select_from(AuditEntryRow).where(AuditEntryRow.account_id == customer.account.id)
        return (
            (await uow.connection.execute(keys)).scalar_one(),
            (await uow.connection.execute(entries)).scalar_one(),
        )

"""The free quota over HTTP: accounts choose their order, operators their terms, and both see what there is."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.customers import PASSWORD, fresh_email
from backend.tests.fakes.http_server import serving
from billing.customers.rules import OperatorRole
from billing.main import create_app
from billing.wiring.services import Services, services
from billing.wiring.settings import read_settings
from testkit.loopback import NO_TLS

TERMS = "/admin/billing/free-quota"
ORDER = "/api/v1/billing/free-limits/burn-order"
LIMITS = {"input_tokens": 10, "output_tokens": 20, "images": 3, "speech_seconds": 60, "transcription_seconds": 90}


@pytest.fixture(scope="module")
async def built(database_url: URL) -> AsyncIterator[Services]:
    """The whole product, with the operators' door open, behind one proxy of ours."""
    environ = {"ADMIN_BILLING_ENABLED": "1", "BILLING_TRUSTED_PROXY_HOPS": "1"}
    async with services(read_settings(environ), database_url) as built:
        yield built


@pytest.fixture(scope="module")
async def url(built: Services) -> AsyncIterator[str]:
    """Where it listens."""
    async with serving(create_app(built)) as url:
        yield url


@asynccontextmanager
async def browser(
    built: Services, url: str, *, operator_role: OperatorRole | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody new, signed in."""
    email = fresh_email()
    async with built.begin() as uow:
        await built.customers.open_account(uow, name="Ada", email=email, password=PASSWORD, operator_role=operator_role)
    headers = {"X-Forwarded-For": "198.51.100.7"}
    async with httpx.AsyncClient(verify=NO_TLS, base_url=url, headers=headers) as client:
        session = await client.post("/api/v1/session", json={"email": email, "password": PASSWORD})
        client.headers["X-CSRF-Token"] = session.raise_for_status().json()["csrf_token"]
        yield client


@pytest.fixture
async def customer(built: Services, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A customer."""
    async with browser(built, url) as client:
        yield client


@pytest.fixture
async def operator(built: Services, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """An operator who may write."""
    async with browser(built, url, operator_role=OperatorRole.FINANCE) as client:
        yield client


async def version(operator: httpx.AsyncClient) -> int:
    """Which terms are in force."""
    return int((await operator.get(TERMS)).raise_for_status().json()["version"])


def change(expected_version: int, **more: object) -> dict[str, object]:
    """New terms as an operator sends them."""
    return {
        "expected_version": expected_version,
        "is_enabled": True,
        "cycle_days": 30,
        "limits": LIMITS,
        "eligible_models": ["demo-free"],
        "reason": "a campaign",
        **more,
    }


class TestTheBurnOrder:
    async def test_is_read_and_chosen(self, customer: httpx.AsyncClient) -> None:
        before = await customer.get(ORDER)
        chosen = await customer.put(ORDER, json={"burn_order": "free_only"})
        limits = await customer.get("/api/v1/billing/free-limits")

        assert before.json() == {"burn_order": "free_first"}
        assert (chosen.status_code, chosen.json()) == (200, {"burn_order": "free_only"})
        assert limits.json()["burn_order"] == "free_only"

    @pytest.mark.parametrize("body", [{"burn_order": "cheapest"}, {}, {"burn_order": "free_only", "more": 1}])
    async def test_is_one_of_three(self, body: dict[str, object], customer: httpx.AsyncClient) -> None:
        assert (await customer.put(ORDER, json=body)).status_code == 400

    async def test_is_not_changed_by_a_page_of_strangers(self, customer: httpx.AsyncClient) -> None:
        answer = await customer.put(ORDER, json={"burn_order": "free_only"}, headers={"X-CSRF-Token": "guessed"})

        assert answer.status_code == 403
        assert (await customer.get(ORDER)).json() == {"burn_order": "free_first"}


class TestTheTerms:
    async def test_are_changed_as_a_whole_and_read_back(self, operator: httpx.AsyncClient) -> None:
        seen = await version(operator)

        cycle_days = 1 + seen % 3000
        changed = await operator.put(TERMS, json=change(seen, cycle_days=cycle_days))

        found = (await operator.get(TERMS)).json()
        assert (changed.status_code, found) == (200, changed.json())
        assert found == {
            "version": seen + 1,
            "is_enabled": True,
            "cycle_days": cycle_days,
            "limits": LIMITS,
            "eligible_models": ["demo-free"],
        }

    async def test_that_somebody_has_changed_meanwhile_are_a_conflict(self, operator: httpx.AsyncClient) -> None:
        seen = await version(operator)

        answer = await operator.put(TERMS, json=change(seen + 1))

        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "free_terms_outdated"
        assert answer.json()["error"]["version"] == seen

    @pytest.mark.parametrize(
        "nonsense",
        [
            {"limits": {"images": -1}},
            {"limits": {"hours": 1}},
            {"cycle_days": 0},
            {"eligible_models": ["x" * 201]},
            {"eligible_models": ["zero\u0000"]},
            {"reason": ""},
            {"reason": "zero\u0000"},
        ],
    )
    async def test_that_nobody_can_mean_are_refused(
        self, nonsense: dict[str, object], operator: httpx.AsyncClient
    ) -> None:
        seen = await version(operator)

        answer = await operator.put(TERMS, json=change(seen, **nonsense))

        assert answer.status_code in {400, 422}
        assert await version(operator) == seen

    async def test_are_the_operators_business(self, customer: httpx.AsyncClient) -> None:
        for answer in (
            await customer.get(TERMS),
            await customer.put(TERMS, json=change(0)),
            await customer.get(f"{TERMS}/starts"),
        ):
            assert answer.status_code == 403


class TestStarts:
    async def test_are_reported_by_network(self, operator: httpx.AsyncClient) -> None:
        report = (await operator.get(f"{TERMS}/starts", params={"days": 1})).json()

        assert set(report) == {"since", "networks", "refusals"}

    async def test_are_kept_for_a_month(self, operator: httpx.AsyncClient) -> None:
        assert (await operator.get(f"{TERMS}/starts", params={"days": 31})).status_code == 400


class TestBehindAProxy:
    async def test_each_visitor_has_their_own_guesses(self, database_url: URL) -> None:
        environ = {"BILLING_TRUSTED_PROXY_HOPS": "1", "BILLING_SIGN_IN_ATTEMPTS_PER_ADDRESS": "1"}
        guilty = f"2001:db8:{secrets.randbits(16):x}:{secrets.randbits(16):x}::1"
        async with (
            services(read_settings(environ), database_url) as built,
            serving(create_app(built)) as url,
            httpx.AsyncClient(verify=NO_TLS, base_url=url) as visitor,
        ):
            statuses = [
                await guess(visitor, f"198.51.100.1, {guilty}"),
                await guess(visitor, f"198.51.100.2, {guilty}"),
                await guess(visitor, f"{guilty}, 2001:db8:{secrets.randbits(16):x}:1::1"),
            ]

        assert statuses == [401, 429, 401]


async def guess(visitor: httpx.AsyncClient, forwarded_for: str) -> int:
    """The status of a sign-in that fails, from there."""
    wrong = {"email": fresh_email(), "password": PASSWORD}
    return (await visitor.post("/api/v1/session", json=wrong, headers={"X-Forwarded-For": forwarded_for})).status_code

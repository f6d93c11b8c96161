"""Rate cards over HTTP: for operators behind their flag, with spreadsheets as bodies and refusals in one shape."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.counter import Counter, open_counter
from backend.tests.builders.yookassa import simulated_yookassa
from billing.customers.access import SESSION_COOKIE
from billing.customers.rules import OperatorRole
from billing.pricing.adapters.xlsx_sheets import XlsxSheets
from billing.pricing.sheets import SHEET_BYTES_MAX

RATES = "/admin/billing/rates"


@pytest.fixture(scope="module")
async def counter(database_url: URL) -> AsyncIterator[Counter]:
    """The application with the operators' door open."""
    async with (
        simulated_yookassa() as yookassa,
        open_counter(database_url, yookassa, ADMIN_BILLING_ENABLED="true") as counter,
    ):
        yield counter


@asynccontextmanager
async def operator(counter: Counter, role: OperatorRole = OperatorRole.FINANCE) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with this role, signed in with a browser."""
    customer = await counter.town.customer(operator_role=role)
    async with counter.caller(**{"X-CSRF-Token": customer.session.csrf_token}) as client:
        client.cookies.set(SESSION_COOKIE, customer.session.token)
        yield client


def wanted(name: str, **more: object) -> dict[str, object]:
    """A rate to create."""
    price = {"amount": "60", "currency": "RUB"}
    plain = {"model": name, "unit": "input_tokens", "price": price, "provider": "p", "reason": "new contract"}
    return {**plain, **more}


@pytest.fixture
def model() -> str:
    """A model that nobody has priced yet."""
    return f"model-{secrets.token_hex(6)}"


class TestTheDoor:
    async def test_is_for_operators(self, counter: Counter, model: str) -> None:
        async with counter.customer() as (_, customer), counter.caller() as stranger:
            refused = await customer.get(RATES), await customer.post(RATES, json=wanted(model))
            unknown = await stranger.get(RATES)

        assert [answer.json()["error"]["code"] for answer in refused] == ["forbidden", "forbidden"]
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (401, "not_signed_in")

    async def test_is_closed_without_its_flag(self, database_url: URL, counter: Counter) -> None:
        async with open_counter(database_url, counter.yookassa) as closed, closed.caller() as client:
            answer = await client.get(RATES)

        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "billing_disabled")

    async def test_takes_no_change_without_the_csrf_token(self, counter: Counter, model: str) -> None:
        async with operator(counter) as client:
            del client.headers["X-CSRF-Token"]
            answer = await client.post(RATES, json=wanted(model))

        assert answer.json()["error"]["code"] == "csrf_failed"


class TestARate:
    async def test_is_created_superseded_and_withdrawn(self, counter: Counter, model: str) -> None:
        async with operator(counter) as client:
            created = await client.post(RATES, json=wanted(model))
            first = created.json()["items"][0]
            newer = await client.post(f"{RATES}/{first['id']}/supersede", json={"price": "70.5", "reason": "dearer"})
            second = newer.json()["items"][0]
            ended = await client.post(f"{RATES}/{second['id']}/withdraw", json={"reason": "gone"})
            listed = (await client.get(RATES, params={"model": model, "standing": "all"})).json()

        assert created.status_code == 201
        assert (first["per"], first["price"], first["version"]) == (
            1_000_000,
            {"amount": "60.00", "currency": "RUB"},
            1,
        )
        assert (second["price"]["amount"], second["modality"]) == ("70.50", "text")
        assert ended.json()["items"][0]["is_active"] is False
        assert len(listed["items"]) == 3

    async def test_of_several_is_changed_with_them_or_not_at_all(self, counter: Counter, model: str) -> None:
        rate = {key: value for key, value in wanted(model).items() if key != "reason"}
        free = {**rate, "action": "create", "unit": "output_tokens", "price": {"amount": "0", "currency": "RUB"}}
        async with operator(counter) as client:
            body = {"reason": "new", "changes": [{**rate, "action": "create"}, free]}
            refused = await client.post(f"{RATES}/bulk", json=body)
            body = {"reason": "new", "changes": [{**rate, "action": "create"}, {**free, "is_free": True}]}
            made = await client.post(f"{RATES}/bulk", json=body)
            changes = [
                {"action": "withdraw", "rate_id": made.json()["items"][0]["id"]},
                {"action": "supersede", "rate_id": made.json()["items"][1]["id"], "price": "1"},
            ]
            changed = await client.post(f"{RATES}/bulk", json={"reason": "old", "changes": changes})

        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "rate_refused")
        assert [item["is_free"] for item in made.json()["items"]] == [False, True]
        assert [item["is_active"] for item in changed.json()["items"]] == [False, True]

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"unit": "tokens"}, "invalid_request"),
            ({"price": {"amount": "1,5", "currency": "RUB"}}, "invalid_request"),
            ({"price": {"amount": "1", "currency": "ROUBLE"}}, "invalid_request"),
            ({"price": {"amount": 1.5, "currency": "RUB"}}, "invalid_request"),
            ({"effective_from": "2031-01-01T00:00:00"}, "invalid_request"),
            ({"effective_from": "2020-01-01T00:00:00Z"}, "rate_refused"),
            ({"modality": "image"}, "rate_refused"),
            ({"model": "=m"}, "rate_refused"),
            ({"discount": 5}, "invalid_request"),
            ({"reason": ""}, "invalid_request"),
        ],
        ids=str,
    )
    async def test_that_makes_no_sense_is_refused(
        self, counter: Counter, model: str, more: dict[str, object], code: str
    ) -> None:
        async with operator(counter) as client:
            answer = await client.post(RATES, json=wanted(model, **more))

        assert (answer.status_code in {400, 422}, answer.json()["error"]["code"]) == (True, code)

    async def test_that_is_unknown_is_not_found(self, counter: Counter) -> None:
        async with operator(counter) as client:
            answer = await client.post(f"{RATES}/rat_unknown/withdraw", json={"reason": "gone"})

        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "rate_not_found")


class TestASpreadsheet:
    async def test_is_previewed_applied_and_exported(self, counter: Counter, model: str) -> None:
        header = ["model", "unit", "price", "currency", "provider"]
        sheet = XlsxSheets().write([header, [model, "input_tokens", "60", "RUB", "p"]])
        async with operator(counter) as client:
            preview = (await client.post(f"{RATES}/import/preview", content=sheet)).json()
            query = {"token": preview["token"], "reason": "new contract"}
            applied = await client.post(f"{RATES}/import/apply", content=sheet, params=query)
            again = await client.post(f"{RATES}/import/apply", content=sheet, params=query)
            exported = await client.get(f"{RATES}/export")

        assert preview["summary"] == {
            "create": 1,
            "supersede": 0,
            "withdraw": 0,
            "unchanged": 0,
            "warnings": 0,
            "errors": 0,
        }
        assert [(line["row"], line["action"], line["former_price"]) for line in preview["first_actions"]] == [
            (2, "create", None)
        ]
        assert (applied.status_code, again.json()["error"]["code"]) == (200, "import_outdated")
        assert model in {row[0] for row in XlsxSheets().read(exported.content)}
        assert "attachment" in exported.headers["Content-Disposition"]

    async def test_with_wrong_rows_says_which(self, counter: Counter, model: str) -> None:
        header = ["model", "unit", "price", "currency", "provider"]
        sheet = XlsxSheets().write([header, [model, "input_tokens", "0", "RUB", "p"]])
        async with operator(counter) as client:
            preview = (await client.post(f"{RATES}/import/preview", content=sheet)).json()
            query = {"token": preview["token"], "reason": "new contract"}
            answer = await client.post(f"{RATES}/import/apply", content=sheet, params=query)

        assert [error["row"] for error in preview["errors"]] == [2]
        assert (answer.status_code, answer.json()["error"]["problems"][0]["row"]) == (422, 2)

    @pytest.mark.parametrize(
        ("content", "status", "code"),
        [(b"model;price", 422, "sheet_refused"), (bytes(SHEET_BYTES_MAX + 1), 413, "sheet_too_large")],
        ids=["no spreadsheet", "too large"],
    )
    async def test_that_cannot_be_read_is_refused(
        self, counter: Counter, content: bytes, status: int, code: str
    ) -> None:
        async with operator(counter) as client:
            answer = await client.post(f"{RATES}/import/preview", content=content)

        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


class TestMissingRates:
    async def test_are_answered_for_each_currency(self, counter: Counter) -> None:
        async with operator(counter, OperatorRole.AUDITOR) as client:
            answer = await client.get(f"{RATES}/missing", params={"currency": ["RUB", "EUR"]})
            unknown = await client.get(f"{RATES}/missing", params={"currency": "XQX"})

        assert (answer.status_code, answer.json()) == (200, {"items": []})
        assert unknown.json()["error"]["code"] == "invalid_request"

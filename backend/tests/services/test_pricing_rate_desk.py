"""Operators change rates one by one, many at once or by spreadsheet: all or nothing, and never without a trace."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import principal
from backend.tests.builders.pricing import card, new_rate
from backend.tests.builders.wallets import RUB, Wallets, rub
from backend.tests.fakes.clock import NOON, StoppedClock
from billing.customers.audit import AuditTrail
from billing.customers.errors import Forbidden
from billing.customers.rules import AccountId, OperatorRole, Principal
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.money import Currency
from billing.kit.statements import answer
from billing.kit.unit_of_work import Begin
from billing.pricing.adapters.xlsx_sheets import XlsxSheets
from billing.pricing.errors import (
    ImportOutdated,
    ImportRefused,
    PriceUnknown,
    RateExists,
    RateNotFound,
    RateOutdated,
    RateRefused,
)
from billing.pricing.rate_desk import BULK_MAX, CreateRate, RateDesk, SupersedeRate, WithdrawRate
from billing.pricing.rules import MissingRates, Modality, Publication, RateFilter, RateSnapshot, Standing, Unit
from billing.pricing.service import PricingService
from billing.pricing.sheets import Action

DAY = timedelta(days=1)
SOON = NOON + DAY


class Office:
    """One operator at the desk, with a model that nobody else prices."""

    def __init__(self, desk: RateDesk, pricing: PricingService, begin: Begin, operator: Principal, model: str) -> None:
        self.desk = desk
        self.pricing = pricing
        self.begin = begin
        self.operator = operator
        self.model = model

    async def change(self, *changes: CreateRate | SupersedeRate | WithdrawRate) -> tuple[Publication, ...]:
        """Makes the changes."""
        return await self.desk.change(self.operator, changes, reason="new contract", request_id="req_1")

    async def created(self, unit: Unit = Unit.INPUT, price: str = "60") -> str:
        """A new rate from now on; answers its id."""
        (made,) = await self.change(CreateRate(new_rate(self.model, unit, price), None))
        return made.rate_id

    async def rates(self, *, after: timedelta = timedelta(0)) -> RateSnapshot:
        """What is in force for text."""
        async with self.begin() as uow:
            return await answer(uow, self.pricing.rates_of(self.model, RUB, NOON + after))

    async def entries(self) -> list[Mapping[str, Any]]:
        """The operator's entries in the audit trail, oldest first."""
        async with self.begin() as uow:
            rows = await uow.connection.execute(
                text("SELECT * FROM audit_entries WHERE account_id = :account ORDER BY xmin::text::bigint"),
                {"account": self.operator.account_id},
            )
            return [dict(row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it

    def sheet(self, *rows: Mapping[str, str]) -> bytes:
        """A spreadsheet of this model's rates."""
        plain = {"model": self.model, "unit": "input_tokens", "price": "60", "currency": "RUB", "provider": "tests"}
        columns = [*plain, *{name: None for row in rows for name in row if name not in plain}]
        return XlsxSheets().write([columns, *([{**plain, **row}.get(name, "") for name in columns] for row in rows)])

    async def apply(self, sheet: bytes, *, token: str | None = None) -> None:
        """Applies a spreadsheet with the token of its own preview, unless told otherwise."""
        wanted = token or (await self.desk.preview(self.operator, sheet)).token
        await self.desk.apply(self.operator, sheet, token=wanted, reason="new contract", request_id="req_1")


@pytest.fixture
def model() -> str:
    """A model that nobody has priced yet."""
    return f"model-{secrets.token_hex(6)}"


@pytest.fixture
async def office(begin: Begin, clock: StoppedClock, ids: Ids, wallets: Wallets, model: str) -> Office:
    """The real desk over the real database."""
    pricing = PricingService(ids)
    desk = RateDesk(
        begin=begin,
        clock=clock,
        audit=AuditTrail(clock, ids),
        pricing=pricing,
        sheets=XlsxSheets(),
        served_models=[model],
        currency=RUB,
    )
    account_id = AccountId(await wallets.account())
    return Office(desk, pricing, begin, _operator(OperatorRole.FINANCE, account_id), model)


def _operator(role: OperatorRole | None, account_id: AccountId) -> Principal:
    plain = principal(operator_role=role)
    return Principal(account_id, plain.person_id, plain.role, plain.api_key_id, plain.scopes, role, plain.time_zone)


class TestWhoMay:
    @pytest.mark.parametrize("role", [None, OperatorRole.SUPPORT, OperatorRole.AUDITOR])
    async def test_change_rates_are_only_operators_who_write(self, office: Office, role: OperatorRole | None) -> None:
        reader = _operator(role, office.operator.account_id)
        rate = CreateRate(new_rate(office.model, Unit.INPUT, "60"), None)

        with pytest.raises(Forbidden):
            await office.desk.change(reader, [rate], reason="because", request_id="req_1")
        with pytest.raises(Forbidden):
            await office.desk.apply(reader, office.sheet({}), token="", reason="because", request_id="req_1")

        assert await office.entries() == []

    async def test_look_at_rates_is_any_operator_and_nobody_else(self, office: Office) -> None:
        auditor = _operator(OperatorRole.AUDITOR, office.operator.account_id)
        customer = _operator(None, office.operator.account_id)

        await office.desk.page(auditor, RateFilter(), cursor=None, limit=1)
        await office.desk.missing(auditor)
        await office.desk.preview(auditor, office.sheet({}))
        for forbidden in (
            office.desk.page(customer, RateFilter(), cursor=None, limit=1),
            office.desk.missing(customer),
            office.desk.export(customer),
            office.desk.preview(customer, b""),
        ):
            with pytest.raises(Forbidden):
                await forbidden


class TestCreating:
    async def test_puts_a_price_in_force_at_once(self, office: Office) -> None:
        await office.created(Unit.INPUT, "60")
        await office.created(Unit.OUTPUT, "240")

        assert (await office.rates()).rate_of(Unit.OUTPUT).price == rub("240")

    async def test_leaves_one_entry_that_says_everything(self, office: Office) -> None:
        rate_id = await office.created()

        (entry,) = await office.entries()
        assert (entry["action"], entry["target"], entry["reason"]) == ("rates.changed", rate_id, "new contract")
        assert (entry["request_id"], entry["actor_operator_role"]) == ("req_1", "finance")
        assert (entry["before"], entry["after"]["rates"][0]["price"]) == ({"rates": []}, "60.00")

    async def test_what_has_a_price_already_is_refused(self, office: Office) -> None:
        rate_id = await office.created()

        with pytest.raises(RateExists) as refusal:
            await office.created(price="61")

        assert refusal.value.rate_id == rate_id
        assert len(await office.entries()) == 1

    async def test_what_was_withdrawn_is_possible(self, office: Office) -> None:
        await office.change(WithdrawRate(await office.created()))
        await office.created(price="61")
        await office.created(Unit.OUTPUT)

        assert (await office.rates()).rates[Unit.INPUT].version == 3

    async def test_in_the_past_is_refused(self, office: Office) -> None:
        with pytest.raises(RateRefused, match="past"):
            await office.change(CreateRate(new_rate(office.model, Unit.INPUT, "60"), NOON - DAY))

    @pytest.mark.parametrize(("price", "is_free"), [("0", False), ("-1", False), ("5", True)])
    async def test_a_price_that_nobody_can_mean_is_refused_with_everything_beside_it(
        self, office: Office, price: str, *, is_free: bool
    ) -> None:
        """Incidents 17 and 18: nothing costs less than nothing, and a zero has to say that it is meant."""
        fine = CreateRate(new_rate(office.model, Unit.OUTPUT, "1"), None)
        spoilt = CreateRate(new_rate(office.model, Unit.INPUT, price, is_free=is_free), None)

        with pytest.raises(RateRefused):
            await office.change(fine, spoilt)

        assert await office.entries() == []
        with pytest.raises(RateNotFound):
            await office.change(WithdrawRate("rat_unknown"))


class TestSuperseding:
    async def test_replaces_a_price_from_its_moment_on(self, office: Office) -> None:
        rate_id = await office.created()
        await office.created(Unit.OUTPUT)

        await office.change(SupersedeRate(rate_id, "70", False, None, SOON))

        assert (await office.rates()).rate_of(Unit.INPUT).price == rub("60")
        assert (await office.rates(after=DAY)).rate_of(Unit.INPUT).price == rub("70")

    async def test_what_somebody_has_superseded_meanwhile_is_refused(self, office: Office) -> None:
        """A double click is one change."""
        rate_id = await office.created()
        (newer,) = await office.change(SupersedeRate(rate_id, "70", False, None, None))

        with pytest.raises(RateOutdated) as refusal:
            await office.change(SupersedeRate(rate_id, "70", False, None, None))

        assert refusal.value.latest_id == newer.rate_id
        assert len(await office.entries()) == 2

    async def test_by_several_at_once_happens_once(self, office: Office) -> None:
        change = SupersedeRate(await office.created(), "70", False, None, None)

        outcomes = await asyncio.gather(*(office.change(change) for _ in range(4)), return_exceptions=True)

        assert sum(isinstance(outcome, RateOutdated) for outcome in outcomes) == 3
        assert len(await office.entries()) == 2

    async def test_can_make_a_priced_model_free_on_purpose(self, office: Office) -> None:
        first, second = await office.created(), await office.created(Unit.OUTPUT)

        await office.change(
            SupersedeRate(first, "0", True, None, None), SupersedeRate(second, "0", True, "other", None)
        )

        rates = await office.rates()
        assert rates.is_free
        assert rates.rates[Unit.OUTPUT].provider == "other"

    async def test_says_in_its_entry_what_was_before(self, office: Office) -> None:
        rate_id = await office.created()

        await office.change(SupersedeRate(rate_id, "70", False, None, None))

        entry = (await office.entries())[1]
        assert [rate["price"] for rate in (*entry["before"]["rates"], *entry["after"]["rates"])] == ["60.00", "70.00"]


class TestWithdrawing:
    async def test_makes_the_model_unpriced_and_never_free(self, office: Office) -> None:
        rate_id = await office.created()
        await office.created(Unit.OUTPUT)

        await office.change(WithdrawRate(rate_id))

        with pytest.raises(PriceUnknown):
            await office.rates()

    async def test_takes_prices_that_are_still_to_come_with_it(self, office: Office) -> None:
        await office.created(Unit.OUTPUT)
        (later,) = await office.change(SupersedeRate(await office.created(), "70", False, None, SOON))

        await office.change(WithdrawRate(later.rate_id))

        for after in (timedelta(0), DAY, 9 * DAY):
            with pytest.raises(PriceUnknown):
                await office.rates(after=after)


class TestManyChanges:
    async def test_leave_one_entry(self, office: Office) -> None:
        rate_id = await office.created()

        await office.change(
            SupersedeRate(rate_id, "70", False, None, None), CreateRate(new_rate(office.model, Unit.OUTPUT, "9"), None)
        )

        entries = await office.entries()
        assert (len(entries), entries[1]["target"], len(entries[1]["after"]["rates"])) == (2, "rates", 2)

    async def test_of_one_price_are_refused(self, office: Office) -> None:
        rate_id = await office.created()

        with pytest.raises(InvalidInput, match="one price"):
            await office.change(WithdrawRate(rate_id), SupersedeRate(rate_id, "70", False, None, None))

    @pytest.mark.parametrize("count", [0, BULK_MAX + 1])
    async def test_are_some_and_not_too_many(self, office: Office, count: int) -> None:
        with pytest.raises(InvalidInput):
            await office.change(*[WithdrawRate("rat_1")] * count)

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
    async def test_have_a_reason(self, office: Office, reason: str) -> None:
        with pytest.raises(InvalidInput):
            await office.desk.change(office.operator, [WithdrawRate("rat_1")], reason=reason, request_id="req_1")


class TestLooking:
    async def test_shows_what_is_in_force_what_is_to_come_and_what_was(self, office: Office) -> None:
        rate_id = await office.created()
        (second,) = await office.change(SupersedeRate(rate_id, "61", False, None, None))
        (later,) = await office.change(SupersedeRate(second.rate_id, "62", False, None, SOON))

        assert await self._prices(office, Standing.IN_FORCE) == {"61.00"}
        assert await self._prices(office, Standing.SCHEDULED) == {"62.00"}
        assert await self._prices(office, Standing.ALL) == {"60.00", "61.00", "62.00"}
        assert later.version == 3

    async def test_goes_page_by_page_and_misses_nothing(self, office: Office) -> None:
        for unit in (Unit.INPUT, Unit.OUTPUT, Unit.REASONING, Unit.CACHED_INPUT, Unit.REQUEST):
            await office.created(unit)
        wanted = RateFilter(model=office.model)
        seen: list[str] = []
        cursor = None
        for _ in range(3):
            page = await office.desk.page(office.operator, wanted, cursor=cursor, limit=2)
            seen += [rate.key.unit for rate in page.rows]
            cursor = page.next_cursor

        assert (len(seen), len(set(seen)), cursor) == (5, 5, None)

    @pytest.mark.parametrize(
        ("more", "count"),
        [
            ({"unit": Unit.OUTPUT}, 1),
            ({"modality": Modality.TEXT}, 2),
            ({"modality": Modality.IMAGE}, 0),
            ({"currency": "EUR"}, 0),
            ({"provider": "tests", "is_active": True}, 2),
            ({"is_active": False}, 0),
        ],
        ids=str,
    )
    async def test_can_be_narrowed(self, office: Office, more: dict[str, Any], count: int) -> None:
        async with office.begin() as uow:
            await office.pricing.publish(uow, card(office.model))

        page = await office.desk.page(office.operator, RateFilter(model=office.model, **more), cursor=None, limit=10)

        assert len(page.rows) == count

    @staticmethod
    async def _prices(office: Office, standing: Standing) -> set[str]:
        page = await office.desk.page(office.operator, RateFilter(standing, model=office.model), cursor=None, limit=10)
        return {rate.rate.price.to_decimal() for rate in page.rows}


class TestMissingRates:
    async def test_name_a_served_model_without_any_price(self, office: Office) -> None:
        assert await office.desk.missing(office.operator) == (MissingRates(office.model, RUB, None, ()),)

    async def test_name_what_a_model_lacks(self, office: Office) -> None:
        await office.created(Unit.INPUT)

        assert await office.desk.missing(office.operator) == (
            MissingRates(office.model, RUB, Modality.TEXT, (Unit.OUTPUT,)),
        )

    async def test_name_nothing_where_all_is_priced(self, office: Office) -> None:
        await office.created(Unit.INPUT)
        await office.created(Unit.OUTPUT)

        assert await office.desk.missing(office.operator) == ()

    async def test_are_looked_for_in_each_currency(self, office: Office) -> None:
        await office.created(Unit.INPUT)
        await office.created(Unit.OUTPUT)

        missing = await office.desk.missing(office.operator, [RUB, Currency("EUR")])

        assert missing == (MissingRates(office.model, Currency("EUR"), None, ()),)


class TestImporting:
    async def test_publishes_the_whole_sheet_with_one_entry(self, office: Office) -> None:
        await office.apply(office.sheet({}, {"unit": "output_tokens", "price": "240"}))

        assert (await office.rates()).rate_of(Unit.INPUT).price == rub("60")
        (entry,) = await office.entries()
        assert (entry["action"], entry["target"], len(entry["after"]["rates"])) == ("rates.imported", "rates", 2)

    async def test_publishes_nothing_where_one_row_is_wrong(self, office: Office) -> None:
        sheet = office.sheet({}, {"unit": "output_tokens", "price": "0"})

        with pytest.raises(ImportRefused) as refusal:
            await office.apply(sheet)

        assert [problem["row"] for problem in refusal.value.problems] == [3]
        assert await office.entries() == []
        assert await office.desk.missing(office.operator) == (MissingRates(office.model, RUB, None, ()),)

    async def test_after_rates_have_changed_is_refused(self, office: Office) -> None:
        sheet = office.sheet({"price": "61"})
        preview = await office.desk.preview(office.operator, sheet)
        await office.created()

        with pytest.raises(ImportOutdated):
            await office.apply(sheet, token=preview.token)

        assert len(await office.entries()) == 1

    async def test_of_another_file_than_previewed_is_refused(self, office: Office) -> None:
        preview = await office.desk.preview(office.operator, office.sheet({}))

        with pytest.raises(ImportOutdated):
            await office.apply(office.sheet({"price": "61"}), token=preview.token)

    async def test_a_second_time_is_refused_by_its_token(self, office: Office) -> None:
        sheet = office.sheet({})
        preview = await office.desk.preview(office.operator, sheet)
        await office.apply(sheet, token=preview.token)

        with pytest.raises(ImportOutdated):
            await office.apply(sheet, token=preview.token)

        assert len(await office.entries()) == 1

    async def test_of_what_is_there_already_changes_nothing_and_leaves_no_entry(self, office: Office) -> None:
        await office.created()

        await office.apply(office.sheet({}))

        assert len(await office.entries()) == 1

    async def test_by_two_operators_at_once_is_published_once(self, office: Office) -> None:
        sheet = office.sheet({})
        token = (await office.desk.preview(office.operator, sheet)).token

        outcomes = await asyncio.gather(*(office.apply(sheet, token=token) for _ in range(4)), return_exceptions=True)

        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ImportOutdated"] * 3 + ["NoneType"]
        assert len(await office.entries()) == 1

    async def test_can_withdraw_with_all_that_was_to_come(self, office: Office) -> None:
        await office.created(Unit.OUTPUT)
        await office.change(SupersedeRate(await office.created(), "70", False, None, SOON))

        await office.apply(office.sheet({"active": "no"}))

        with pytest.raises(PriceUnknown):
            await office.rates(after=9 * DAY)

    async def test_is_previewed_without_a_change(self, office: Office) -> None:
        preview = await office.desk.preview(office.operator, office.sheet({}, {"price": "x"}))

        assert [change.action for change in preview.plan.changes] == [Action.CREATE]
        assert [error.row for error in preview.plan.errors] == [3]
        assert await office.entries() == []

    async def test_of_an_export_changes_nothing(self, office: Office) -> None:
        await office.created(Unit.INPUT, "0.000001")
        await office.change(WithdrawRate(await office.created(Unit.OUTPUT)))

        preview = await office.desk.preview(office.operator, await office.desk.export(office.operator))

        assert _about(preview.plan.changes, office.model) == []
        assert preview.plan.errors == ()


def _about(changes: Sequence[Any], model: str) -> list[Any]:
    return [change for change in changes if change.after.model == model]

"""Operators give credit, take it back and write debt off: with a reason, once per key, with one audit row."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from backend.tests.builders.customers import Customer, Town, customers_service
from backend.tests.builders.wallets import RUB, Wallets, rub
from billing.admin.credit_desk import CreditDesk, GrantSource
from billing.customers.audit import AuditTrail
from billing.customers.errors import AccountNotFound, Forbidden
from billing.customers.models import AuditEntryRow
from billing.customers.rules import AccountId, OperatorRole
from billing.kit.errors import InvalidInput
from billing.kit.unit_of_work import Begin
from billing.ledger.errors import TransferIdReused, TransferUnknown
from billing.ledger.postings import TransferKind
from billing.ledger.service import LedgerService
from billing.wallets.adjustments import WalletAdjustments
from billing.wallets.errors import WriteOffExceedsDebt
from billing.wallets.rules import WalletId

pytestmark = pytest.mark.money


@pytest.fixture
def desk(begin: Begin, wallets: Wallets) -> CreditDesk:
    """The desk over the real services."""
    clock, ids = wallets.clock, wallets.ids
    return CreditDesk(
        begin=begin,
        clock=clock,
        ids=ids,
        customers=customers_service(begin, clock, ids),
        wallets=wallets.service,
        adjustments=WalletAdjustments(clock=clock, ledger=LedgerService()),
        audit=AuditTrail(clock, ids),
    )


@pytest.fixture
async def finance(town: Town) -> Customer:
    """An operator who may write."""
    return await town.customer(operator_role=OperatorRole.FINANCE)


@pytest.fixture
async def account(wallets: Wallets) -> AccountId:
    """A customer's account."""
    return AccountId(await wallets.account())


async def wallet_of(wallets: Wallets, account: AccountId) -> WalletId:
    async with wallets.begin() as uow:
        return await wallets.service.of_account(uow, account, RUB)


async def owing(wallets: Wallets, account: AccountId, debt: str) -> WalletId:
    """The account's wallet, which owes this much and has nothing."""
    wallet = await wallet_of(wallets, account)
    operation = await wallets.hold(wallet, "0")
    async with wallets.begin() as uow:
        await wallets.service.settle(uow, wallet, operation, rub(debt))
    return wallet


async def actions_on(begin: Begin, account: AccountId) -> list[tuple[str, str]]:
    """What the audit trail says about an account: action and reason."""
    async with begin() as uow:
        query = select(AuditEntryRow.__table__).where(AuditEntryRow.account_id == account).order_by(AuditEntryRow.id)
        return [(row.action, row.reason) for row in await uow.connection.execute(query)]


class TestGranting:
    @pytest.mark.parametrize("source", GrantSource)
    async def test_credit_arrives_in_a_lot_that_expires_when_it_was_said(
        self,
        desk: CreditDesk,
        wallets: Wallets,
        finance: Customer,
        account: AccountId,
        begin: Begin,
        source: GrantSource,
    ) -> None:
        expires_at = wallets.clock.now() + timedelta(days=7)

        given = await desk.grant(
            finance.principal,
            account,
            rub("10"),
            source=source,
            reason="welcome",
            request_id="req_1",
            expires_at=expires_at,
        )

        balance = await wallets.balance(given.wallet_id)
        assert (balance.granted, [lot.expires_at for lot in balance.lots]) == (rub("10"), [expires_at])
        assert await actions_on(begin, account) == [("wallet.granted", "welcome")]

    async def test_the_same_key_again_gives_nothing_and_another_content_is_refused(
        self, desk: CreditDesk, wallets: Wallets, finance: Customer, account: AccountId, begin: Begin
    ) -> None:
        async def grant(amount: str) -> bool:
            given = await desk.grant(
                finance.principal,
                account,
                rub(amount),
                source=GrantSource.PROMOTION,
                reason="welcome",
                request_id="req_1",
                key="spring",
            )
            return given.is_new

        repeated = [await grant("10"), await grant("10")]
        with pytest.raises(TransferIdReused) as refusal:
            await grant("11")

        assert (repeated, refusal.value.field) == ([True, False], "amount")
        assert (await wallets.balance(await wallet_of(wallets, account))).granted == rub("10")
        assert len(await actions_on(begin, account)) == 1

    async def test_the_same_key_for_two_accounts_is_two_grants(
        self, desk: CreditDesk, wallets: Wallets, finance: Customer
    ) -> None:
        given = [
            await desk.grant(
                finance.principal,
                AccountId(await wallets.account()),
                rub("10"),
                source=GrantSource.PROMOTION,
                reason="welcome",
                request_id="req_1",
                key="spring",
            )
            for _ in range(2)
        ]

        assert [one.is_new for one in given] == [True, True]

    async def test_a_correction_names_a_transfer_of_this_wallet(
        self, desk: CreditDesk, wallets: Wallets, finance: Customer, account: AccountId
    ) -> None:
        wallet = await owing(wallets, account, "5")
        async with wallets.begin() as uow:
            (charge,) = await wallets.service.statement(uow, wallet, limit=10)

        async def mend(corrects: str) -> None:
            await desk.grant(
                finance.principal,
                account,
                rub("5"),
                source=GrantSource.ADJUSTMENT,
                reason="charged wrongly",
                request_id="req_1",
                corrects=corrects,
                key="mend",
            )

        with pytest.raises(TransferUnknown):
            await mend("trf_of_somebody_else")
        await mend(charge.transfer_id)

        async with wallets.begin() as uow:
            booked = await LedgerService().content_of(uow, f"{wallet}/grant:mend")
        assert booked is not None
        assert booked.corrects == charge.transfer_id
        assert (await wallets.balance(wallet)).debt == rub("0")

    async def test_credit_that_would_have_expired_already_is_refused(
        self, desk: CreditDesk, wallets: Wallets, finance: Customer, account: AccountId
    ) -> None:
        with pytest.raises(InvalidInput):
            await desk.grant(
                finance.principal,
                account,
                rub("5"),
                source=GrantSource.PROMOTION,
                reason="too late",
                request_id="req_1",
                expires_at=wallets.clock.now(),
            )

    async def test_an_account_that_does_not_exist_is_refused(self, desk: CreditDesk, finance: Customer) -> None:
        with pytest.raises(AccountNotFound):
            await desk.grant(
                finance.principal,
                AccountId("acc_unknown"),
                rub("5"),
                source=GrantSource.PROMOTION,
                reason="who",
                request_id="req_1",
            )


class TestTakingBack:
    async def test_what_is_left_is_taken_and_what_is_spent_becomes_debt(
        self, desk: CreditDesk, wallets: Wallets, finance: Customer, account: AccountId, begin: Begin
    ) -> None:
        wallet = await wallet_of(wallets, account)
        wrong = f"{wallet}/{await wallets.grant(wallet, '10')}"
        operation = await wallets.hold(wallet, "4")
        async with wallets.begin() as uow:
            await wallets.service.settle(uow, wallet, operation, rub("4"))

        taken = [
            await desk.take_back(
                finance.principal, account, rub("10"), corrects=wrong, reason="a mistake", request_id="req_1", key="x"
            )
            for _ in range(2)
        ]

        balance = await wallets.balance(wallet)
        assert [one.is_new for one in taken] == [True, False]
        assert (balance.granted, balance.debt, balance.available) == (rub("0"), rub("4"), rub("0"))
        assert await actions_on(begin, account) == [("wallet.taken_back", "a mistake")]

    async def test_a_transfer_that_the_wallet_does_not_have_is_refused(
        self, desk: CreditDesk, finance: Customer, account: AccountId
    ) -> None:
        with pytest.raises(TransferUnknown):
            await desk.take_back(
                finance.principal, account, rub("1"), corrects="trf_unknown", reason="a mistake", request_id="req_1"
            )


class TestWritingOff:
    async def test_debt_is_given_up_and_stands_on_the_write_off_account(
        self, desk: CreditDesk, wallets: Wallets, finance: Customer, account: AccountId, begin: Begin
    ) -> None:
        wallet = await owing(wallets, account, "5")

        written = [
            await desk.write_off(
                finance.principal, account, rub("3"), reason="small change", request_id="req_1", key="x"
            )
            for _ in range(2)
        ]

        assert [one.is_new for one in written] == [True, False]
        assert (await wallets.balance(wallet)).debt == rub("2")
        async with wallets.begin() as uow:
            latest = (await wallets.service.statement(uow, wallet, limit=1))[0]
        assert (latest.kind, latest.amount) == (TransferKind.WRITE_OFF, rub("3"))
        assert await actions_on(begin, account) == [("wallet.debt_written_off", "small change")]

    async def test_more_than_is_owed_is_refused(
        self, desk: CreditDesk, wallets: Wallets, finance: Customer, account: AccountId, begin: Begin
    ) -> None:
        wallet = await owing(wallets, account, "5")

        with pytest.raises(WriteOffExceedsDebt) as refusal:
            await desk.write_off(finance.principal, account, rub("6"), reason="too much", request_id="req_1")

        assert (refusal.value.debt, (await wallets.balance(wallet)).debt) == (rub("5"), rub("5"))
        assert await actions_on(begin, account) == []

    async def test_a_key_that_stands_for_something_else_is_refused(
        self, desk: CreditDesk, wallets: Wallets, finance: Customer, account: AccountId
    ) -> None:
        await owing(wallets, account, "5")
        await desk.write_off(finance.principal, account, rub("3"), reason="first", request_id="req_1", key="x")

        with pytest.raises(TransferIdReused) as refusal:
            await desk.write_off(finance.principal, account, rub("1"), reason="second", request_id="req_2", key="x")

        assert refusal.value.field == "amount"


class TestWhoMay:
    @pytest.mark.parametrize("role", [None, OperatorRole.SUPPORT, OperatorRole.AUDITOR])
    async def test_nobody_but_super_admins_and_finance_moves_credit(
        self, desk: CreditDesk, town: Town, account: AccountId, role: OperatorRole | None
    ) -> None:
        caller = (await town.customer(operator_role=role)).principal

        with pytest.raises(Forbidden):
            await desk.grant(
                caller, account, rub("1"), source=GrantSource.PROMOTION, reason="a gift", request_id="req_1"
            )
        with pytest.raises(Forbidden):
            await desk.write_off(caller, account, rub("1"), reason="a gift", request_id="req_1")
        with pytest.raises(Forbidden):
            await desk.take_back(caller, account, rub("1"), corrects="trf_1", reason="a gift", request_id="req_1")

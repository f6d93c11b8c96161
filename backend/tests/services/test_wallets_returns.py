"""Credit that goes back with its money: its own lot first, then other paid credit, then debt, and once."""

from __future__ import annotations

import pytest

from backend.tests.builders.wallets import Wallets, rub
from billing.kit.money import Money
from billing.ledger.chart_of_accounts import DISPUTES, PROMOTIONS, SystemAccount, provider_account
from billing.ledger.errors import TransferIdReused
from billing.ledger.postings import TransferKind
from billing.ledger.service import LedgerService
from billing.wallets.models import LotSource
from billing.wallets.returns import WalletReturns
from billing.wallets.rules import WalletId

pytestmark = pytest.mark.money

YOOKASSA = provider_account("yookassa")


@pytest.fixture
def returns(wallets: Wallets) -> WalletReturns:
    """What learns that money went back."""
    return WalletReturns(clock=wallets.clock, ids=wallets.ids, ledger=LedgerService())


@pytest.fixture
async def wallet(wallets: Wallets) -> WalletId:
    """A wallet with fifty of one payment, thirty of another, and twenty that were given."""
    wallet = await wallets.opened()
    for origin, amount, source in (("one", "50", LotSource.TOPUP), ("two", "30", LotSource.TOPUP)):
        await credited(wallets, wallet, amount, origin, source)
    await credited(wallets, wallet, "20", "gift", LotSource.PROMOTION)
    return wallet


async def credited(wallets: Wallets, wallet: WalletId, amount: str, origin: str, source: LotSource) -> None:
    async with wallets.begin() as uow:
        await wallets.service.credit(
            uow,
            wallet,
            rub(amount),
            source=source,
            transfer_id=f"credit:{origin}",
            counter_account=PROMOTIONS if source.is_granted else YOOKASSA,
            origin=origin,
        )


async def taken(
    wallets: Wallets,
    returns: WalletReturns,
    wallet: WalletId,
    amount: str,
    *,
    transfer_id: str = "refund:1",
    account: SystemAccount = YOOKASSA,
) -> bool:
    """Takes this much of the first payment's money back."""
    async with wallets.begin() as uow:
        return await returns.take(
            uow, wallet, rub(amount), origin="one", transfer_id=transfer_id, counter_account=account
        )


async def lots_of(wallets: Wallets, wallet: WalletId) -> list[Money]:
    return sorted(lot.left for lot in (await wallets.balance(wallet)).lots)


class TestTaking:
    @pytest.mark.parametrize(
        ("amount", "left", "debt"),
        [
            ("40", ["10", "20", "30"], "0"),
            ("50", ["20", "30"], "0"),
            ("60", ["20", "20"], "0"),
            ("80", ["20"], "0"),
            ("90", ["20"], "10"),
        ],
    )
    async def test_follows_the_order_and_leaves_what_was_given(
        self, wallets: Wallets, returns: WalletReturns, wallet: WalletId, amount: str, left: list[str], debt: str
    ) -> None:
        assert await taken(wallets, returns, wallet, amount)

        assert await lots_of(wallets, wallet) == [rub(one) for one in left]
        assert (await wallets.balance(wallet)).debt == rub(debt)

    async def test_again_under_the_same_id_changes_nothing(
        self, wallets: Wallets, returns: WalletReturns, wallet: WalletId
    ) -> None:
        first = await taken(wallets, returns, wallet, "40")
        again = await taken(wallets, returns, wallet, "40")

        assert (first, again) == (True, False)
        assert (await wallets.balance(wallet)).paid == rub("40")

    async def test_of_something_else_under_the_same_id_is_refused(
        self, wallets: Wallets, returns: WalletReturns, wallet: WalletId
    ) -> None:
        await taken(wallets, returns, wallet, "40")

        with pytest.raises(TransferIdReused):
            await taken(wallets, returns, wallet, "41")

    @pytest.mark.parametrize(("account", "kind"), [(YOOKASSA, TransferKind.REFUND), (DISPUTES, TransferKind.DISPUTE)])
    async def test_says_in_the_statement_what_it_was(
        self,
        wallets: Wallets,
        returns: WalletReturns,
        wallet: WalletId,
        account: SystemAccount,
        kind: TransferKind,
    ) -> None:
        await taken(wallets, returns, wallet, "40", account=account)

        async with wallets.begin() as uow:
            (latest, *_) = await wallets.service.statement(uow, wallet, limit=1)
        assert (latest.kind, latest.amount) == (kind, rub("-40"))


class TestWhatIsLeftOfAPayment:
    async def test_does_not_count_what_other_payments_brought(
        self, wallets: Wallets, returns: WalletReturns, wallet: WalletId
    ) -> None:
        await taken(wallets, returns, wallet, "15")

        async with wallets.begin() as uow:
            assert await returns.left_of(uow, wallet, "one") == rub("35")
            assert await returns.left_of(uow, wallet, "nothing") == rub("0")

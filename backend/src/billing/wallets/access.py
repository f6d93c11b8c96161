"""How the endpoints of wallets find their service."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from billing.kit.http import service_of
from billing.wallets.account_wallet import AccountWallet


def _account_wallet(request: Request) -> AccountWallet:
    return service_of(request, AccountWallet)


Wallet = Annotated[AccountWallet, Depends(_account_wallet)]

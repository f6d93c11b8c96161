"""Builds the customers' service and people for it; every account is a fresh one, so tests never meet."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher

from billing.customers.adapters.argon2_passwords import Argon2Passwords
from billing.customers.audit import AuditTrail
from billing.customers.ports import Passwords
from billing.customers.rules import Account, AccountId, AccountKind, OperatorRole, Principal, Role, Scope
from billing.customers.service import CustomersService, SignedIn
from billing.customers.settings import CustomersSettings
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin

PASSWORD = "correct horse battery staple"
# The cheapest parameters that argon2 has: tests check our use of it, not its strength.
CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def customers_service(
    begin: Begin,
    clock: Clock,
    ids: Ids,
    *,
    settings: CustomersSettings | None = None,
    passwords: Passwords | None = None,
) -> CustomersService:
    """The real service over the real database, with cheap passwords."""
    return CustomersService(
        begin,
        clock,
        ids,
        passwords or Argon2Passwords(CHEAP_HASHER),
        settings or CustomersSettings(),
        AuditTrail(clock, ids),
    )


def fresh_email(name: str = "ada") -> str:
    """An e-mail that nobody has yet."""
    return f"{name}-{secrets.token_hex(6)}@example.com"


def fresh_address() -> str:
    """A network address of the documentation's range (RFC 3849) that nobody has tried to sign in from."""
    return f"2001:db8:{secrets.randbits(16):x}:{secrets.randbits(16):x}::1"


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who has an account and is signed in."""

    account: Account
    email: str
    principal: Principal
    session: SignedIn


@dataclass(frozen=True, slots=True)
class Town:
    """Where customers come from: opens accounts and signs their people in."""

    service: CustomersService
    begin: Begin

    async def customer(
        self,
        *,
        kind: AccountKind = AccountKind.PERSONAL,
        operator_role: OperatorRole | None = None,
        time_zone: str = "UTC",
    ) -> Customer:
        """The owner of a new account, signed in."""
        email = fresh_email()
        async with self.begin() as uow:
            account = await self.service.open_account(
                uow,
                name="Ada Lovelace",
                email=email,
                password=PASSWORD,
                kind=kind,
                operator_role=operator_role,
                time_zone=time_zone,
            )
        return await self._signed_in(account, email)

    async def colleague(self, account: Account, role: Role) -> Customer:
        """A new member of somebody's account, signed in."""
        email = fresh_email("grace")
        async with self.begin() as uow:
            await self.service.add_member(uow, account.id, email=email, password=PASSWORD, role=role)
        return await self._signed_in(account, email)

    async def sign_in(self, email: str, password: str = PASSWORD, *, address: str | None = None) -> SignedIn:
        """Signs in from an address of its own, unless told from which."""
        return await self.service.sign_in(email, password, user_agent="tests", address=address or fresh_address())

    async def _signed_in(self, account: Account, email: str) -> Customer:
        session = await self.sign_in(email)
        return Customer(account, email, session.principal, session)


def principal(
    *,
    role: Role = Role.OWNER,
    api_key_id: str | None = None,
    scopes: frozenset[str] = frozenset(Scope),
    operator_role: OperatorRole | None = None,
) -> Principal:
    """A principal for rules, which need no database."""
    return Principal(
        account_id=AccountId("acc_1"),
        person_id=None,
        role=role,
        api_key_id=api_key_id,
        scopes=scopes,
        operator_role=operator_role,
        time_zone="UTC",
    )

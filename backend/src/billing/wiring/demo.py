"""What `billing seed` puts in place: prices, a free quota, customers to try things with, and an operator."""

from __future__ import annotations

from dataclasses import dataclass

from billing.customers.errors import EmailTaken
from billing.customers.rules import OperatorRole
from billing.kit.errors import SettingsError
from billing.pricing.seed import DEMO_FREE, seed_demo_rates
from billing.quotas.seed import seed_demo_terms
from billing.wiring.services import Services

DEMO_PASSWORD = "demo password"  # noqa: S105 - printed on purpose, refused in production


@dataclass(frozen=True, slots=True)
class Login:
    """With what to sign in."""

    email: str
    password: str


async def seed(services: Services, *, customers: int) -> tuple[Login, ...]:
    """Prices, free terms, customers and the operator of a demonstration; what is there already stays as it is.

    Raises:
        SettingsError: this is production, where nobody's password is printed in a manual.
    """
    if services.settings.deployment.is_production:
        raise SettingsError(("Demo customers are not for production.",))
    async with services.begin() as uow:
        await seed_demo_rates(uow, services.pricing, services.clock.now())
        await seed_demo_terms(uow, services.quotas, (DEMO_FREE,))
    logins = tuple(Login(f"customer{number}@demo.example", DEMO_PASSWORD) for number in range(1, customers + 1))
    for number, login in enumerate(logins, start=1):
        await _open(services, f"Demo customer {number}", login)
    operator = Login("operator@demo.example", DEMO_PASSWORD)
    await _open(services, "Demo operator", operator, operator_role=OperatorRole.SUPER_ADMIN)
    return (*logins, operator)


async def _open(services: Services, name: str, login: Login, *, operator_role: OperatorRole | None = None) -> None:
    try:
        async with services.begin() as uow:
            await services.customers.open_account(
                uow, name=name, email=login.email, password=login.password, operator_role=operator_role
            )
    except EmailTaken:
        return

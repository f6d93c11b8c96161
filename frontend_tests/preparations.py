"""What page tests bring about before they look: free terms, somebody's past, and a database that refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from testkit.actors.customer import Customer, provider_payment_id
from testkit.stack.stack import OPERATOR, Stack

_PRODUCTS_ROLE = "billing_app"


@dataclass(frozen=True, slots=True)
class _Terms:
    is_enabled: bool = True
    models: tuple[str, ...] = ("demo-free",)


class FreeTerms:
    """What is free for everybody on one stack; asking for what is in force already costs nothing."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._in_force = _Terms()

    def be_generous(self) -> None:
        """Free use is on, and there is a model for it: what a stack begins with."""
        self._put_in_force(_Terms())

    def be_off(self) -> None:
        """Nothing is free."""
        self._put_in_force(_Terms(is_enabled=False))

    def name_a_model_that_is_not_served(self) -> None:
        """Free use is on and the limits are untouched, but there is no model that anybody could call for nothing."""
        self._put_in_force(_Terms(models=("announced-but-not-served",)))

    def _put_in_force(self, terms: _Terms) -> None:
        if terms != self._in_force:
            self._stack.set_free_terms(is_enabled=terms.is_enabled, models=terms.models)
            self._in_force = terms


def clear_faults(stack: Stack) -> None:
    """Lets the outside parties behave, for what is prepared before the test's own stack fixture sees to it."""
    stack.provider.clear_faults()
    stack.model.clear_faults()


@dataclass(frozen=True, slots=True)
class Past:
    """What has happened to a customer: the ids of their payments by how each went."""

    customer: Customer
    credited: str
    waiting: str
    cancelled: str
    failed: str


def live_through(customer: Customer, stack: Stack) -> Past:
    """Gives a customer a past: RUB 500.00 paid, two calls, nothing free left, and payments that went otherwise."""
    clear_faults(stack)
    credited = customer.top_up("500.00")
    customer.spend_free_limits(stack.model)
    customer.use(stack.model, model="demo-large", input_tokens=1000, output_tokens=1000)
    waiting, cancelled, failed = (customer.start_topup(amount) for amount in ("510.00", "520.00", "530.00"))
    stack.provider.expire(provider_payment_id(cancelled["confirmation_url"]))
    stack.provider.decline(provider_payment_id(failed["confirmation_url"]))
    for ended in (cancelled, failed):
        customer.reconcile(ended["payment_id"])
    return Past(customer, credited, waiting["payment_id"], cancelled["payment_id"], failed["payment_id"])


@dataclass(frozen=True, slots=True)
class PlanPayments:
    """Somebody's payments for a plan, by how each went."""

    customer: Customer
    paid: str
    waiting: str
    cancelled: str


def buy_plans(customer: Customer, stack: Stack) -> PlanPayments:
    """Puts two plans on offer, and has the customer pay for one of them and not for the other."""
    clear_faults(stack)
    for code, price in (("plus", "300"), ("max", "900")):
        terms = ["--name", code.title(), "--price", price, "--operator", OPERATOR, "--reason", "to look at"]
        stack.run_command("plans", "create", code, *terms)
    cancelled, paid = customer.buy_plan("max"), customer.buy_plan("plus")
    stack.provider.decline(provider_payment_id(cancelled["confirmation_url"]))
    stack.provider.pay(provider_payment_id(paid["confirmation_url"]))
    for ended in (cancelled, paid):
        customer.reconcile_plan(ended["payment_id"])
    waiting = customer.buy_plan("max")
    return PlanPayments(customer, paid["payment_id"], waiting["payment_id"], cancelled["payment_id"])


@contextmanager
def database_refusing(stack: Stack, table: str) -> Iterator[None]:
    """While this lasts, the product's own role may not read the table: a failure that is real, and reaches one card."""
    names = {"table": sql.Identifier(table), "role": sql.Identifier(_PRODUCTS_ROLE)}
    with psycopg.connect(stack.surroundings.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("REVOKE SELECT ON {table} FROM {role}").format(**names))
        try:
            yield
        finally:
            connection.execute(sql.SQL("GRANT SELECT ON {table} TO {role}").format(**names))

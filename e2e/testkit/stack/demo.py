"""The whole product for a person to play with: starts it, says where everything is, and stops it all on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable

from testkit.actors.customer import Customer
from testkit.stack.product import Collector
from testkit.stack.stack import PASSWORD, Ports, Stack

OPERATOR = "operator@demo.example"
"""Whom `billing seed` opens beside the customers, with their password."""

STABLE_PORTS = Ports(web=8000, provider=8010, model=8020)
_LOOK_SECONDS = 1.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_demo(*, ports: Ports, customers: int, collector: Collector, say: Callable[[str], None]) -> None:
    """Runs the demo until SIGINT or SIGTERM; afterwards no process and no folder of it is left.

    Raises:
        StackError: it did not start, or one of its processes ended by itself.
    """
    say("Starting PostgreSQL, the simulators, the server and its worker …")
    with Stack.start(
        customers=customers, ports=ports, settings={"ADMIN_BILLING_ENABLED": "1"}, collector=collector
    ) as stack:
        # From here on these two are waited for; the processes started so far do not inherit it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        login = stack.take_customer()
        with Customer(stack.site, login, stack.payments) as customer:
            api_key = customer.api_key()
        say(_welcome(stack, api_key))
        while signal.sigtimedwait(_STOP_SIGNALS, _LOOK_SECONDS) is None:
            stack.require_alive()
        say("\nStopping …")
    say("Everything has stopped.")


def _welcome(stack: Stack, api_key: str) -> str:
    return f"""
The product runs. No real money moves.

  Wallet page      {stack.site.href("/billing/balance")}
  Playground       {stack.site.href("/billing/playground")}
  Prices           {stack.site.href("/pricing")}
  Gateway          {stack.site.href("/v1")}  (OpenAI-compatible)
  Payments         {stack.payments.url}/  (what the simulated provider knows: hold back, repeat, refund)
  Model provider   {stack.model.url}/v1  (simulated)

Sign in as customer1@demo.example … customer{stack.customers}@demo.example with the password: {PASSWORD}

Call a model as customer1; demo-free costs nothing, demo-small and demo-large need a top-up:

  curl {stack.site.href("/v1/chat/completions")} \\
    -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' \\
    -d '{{"model": "demo-free", "messages": [{{"role": "user", "content": "Hello"}}]}}'

Work as {OPERATOR} (the same password) at {stack.site.href("/admin/billing/…")}, or with commands in another terminal:

  export DATABASE_URL='{stack.surroundings.database_url}'
  export BILLING_MODEL_ROUTES_FILE='{stack.surroundings.routes_file}'
  .venv/bin/billing ledger verify
  .venv/bin/billing rates list --operator {OPERATOR}

Ctrl-C stops everything."""

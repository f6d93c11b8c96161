"""The whole product for a person to play with: starts it, says where everything is, and stops it all on Ctrl-C."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable
from pathlib import Path

from testkit.actors.customer import Customer
from testkit.stack.product import Collector, settings_in
from testkit.stack.stack import OPERATOR, PASSWORD, Ports, Stack

STABLE_PORTS = Ports(web=8000, provider=8010, model=8020)
_NAMES = {Collector.YOOKASSA: "YooKassa", Collector.STRIPE: "Stripe"}
_LOOK_SECONDS = 1.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_demo(*, ports: Ports, customers: int, collector: Collector, say: Callable[[str], None]) -> None:
    """Runs the demo until SIGINT or SIGTERM; afterwards no process and no folder of it is left.

    Raises:
        StackError: it did not start, or one of its processes ended by itself.
    """
    say("Starting PostgreSQL, the simulators, the server and its worker …")
    settings = {"ADMIN_BILLING_ENABLED": "1", "ENABLE_BILLING_SUBSCRIPTIONS": "1"}
    with Stack.start(customers=customers, ports=ports, settings=settings, collector=collector) as stack:
        # From here on these two are waited for; the processes started so far do not inherit it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        login = stack.take_customer()
        with Customer(stack.site, login, stack.payments) as customer:
            api_key = customer.api_key()
        say(_welcome(stack, collector, api_key, _settings_file(stack)))
        while signal.sigtimedwait(_STOP_SIGNALS, _LOOK_SECONDS) is None:
            stack.require_alive()
        say("\nStopping …")
    say("Everything has stopped.")


def _settings_file(stack: Stack) -> Path:
    """What the demo's processes were told, for a shell to read; it goes away with the demo."""
    path = stack.surroundings.clock_file.with_name("demo.env")
    settings = settings_in(stack.surroundings.environment(stack.site.url))
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items()), "utf-8")
    return path


def _welcome(stack: Stack, collector: Collector, api_key: str, settings_file: Path) -> str:
    other = next(each for each in Collector if each is not collector)
    return f"""
The product runs. No real money moves.

  Wallet page      {stack.site.href("/billing/balance")}
  Playground       {stack.site.href("/billing/playground")}
  Prices           {stack.site.href("/pricing")}
  Gateway          {stack.site.href("/v1")}  (OpenAI-compatible)
  Payments         {stack.payments.url}/  (what the simulated provider knows: hold back, repeat, refund)
                   {_NAMES[collector]} collects; to see {_NAMES[other]}: make demo PROVIDER={other}
  Model provider   {stack.model.url}/v1  (simulated)

Sign in as customer1@demo.example … customer{stack.customers}@demo.example with the password: {PASSWORD}

Call a model as customer1; demo-free costs nothing, demo-small and demo-large need a top-up:

  curl {stack.site.href("/v1/chat/completions")} \\
    -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' \\
    -d '{{"model": "demo-free", "messages": [{{"role": "user", "content": "Hello"}}]}}'

Work as {OPERATOR} (the same password) at {stack.site.href("/admin/billing/…")}, or with commands in another terminal:

  . {settings_file}
  .venv/bin/billing ledger verify
  .venv/bin/billing rates list --operator {OPERATOR}

Ctrl-C stops everything."""

"""The whole product with its outside parties, and the one place to ask where each of them is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from testkit.simulators.remote import ModelRemote, StripeRemote, YookassaRemote
from testkit.stack import product
from testkit.stack.errors import CommandFailedError
from testkit.stack.launcher import Launcher, free_port_like, url_of
from testkit.stack.prepared import prepared_data
from testkit.stack.processes import Process
from testkit.stack.site import Site

PASSWORD = "demo password"  # noqa: S105 - what `billing seed` gives to every customer, and prints
OPERATOR = "operator@demo.example"
"""Whom `billing seed` opens beside the customers, with their password."""
CUSTOMERS = 24
"""How many are seeded unless something else is asked for; whoever asks for the same shares one prepared database."""
_READY_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Login:
    """With what a seeded customer signs in."""

    email: str
    password: str = PASSWORD


@dataclass(frozen=True, slots=True)
class Ports:
    """Which ports are wanted; zero, or one that is taken, means any free one."""

    web: int = 0
    provider: int = 0
    model: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """What `billing ledger verify` said."""

    are_right: bool
    report: str


@dataclass(slots=True)
class Stack:
    """A running product; start it from a thread that outlives it, for the kernel ends it with that thread.

    `site` is the server at `/`; `payments` and `model` are the remote controls of the outside parties.
    """

    site: Site
    payments: YookassaRemote | StripeRemote
    model: ModelRemote
    surroundings: product.Surroundings
    customers: int
    _launcher: Launcher
    _taken: int = field(default=0)
    _sites: dict[str, Site] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        *,
        customers: int = CUSTOMERS,
        ports: Ports | None = None,
        settings: Mapping[str, str] | None = None,
        collector: product.Collector = product.Collector.YOOKASSA,
        logs: Path | None = None,
    ) -> Self:
        """Starts everything and returns when it is ready.

        `collector` says who collects; `settings` are further environment variables of the product. Each process writes
        its log into `logs`: a new folder in `CONFIDENCE_SERVER_DIR` unless given, else one that goes away with the
        stack.

        Raises:
            StackError: something did not start; the sentence has the end of its log, and nothing is left running.
        """
        folder = Path(tempfile.mkdtemp(prefix="stack-"))
        launcher = Launcher(folder, logs or _logs_folder(folder))
        try:
            return cls._start(launcher, customers, ports or Ports(), settings or {}, collector)
        except BaseException:
            launcher.stop_all()
            shutil.rmtree(folder, ignore_errors=True)
            raise

    @classmethod
    def _start(
        cls,
        launcher: Launcher,
        customers: int,
        ports: Ports,
        settings: Mapping[str, str],
        collector: product.Collector,
    ) -> Self:
        """What can happen at the same time does: the simulators start while the database does."""
        listener = launcher.listen(ports.web)
        provider, model = _simulators(launcher, ports, url_of(listener), collector)
        database = launcher.database(prepared_data(customers=customers))
        routes_file, clock_file = launcher.folder / "routes.toml", launcher.folder / "clock"
        surroundings = product.Surroundings(
            database.url(), _url(provider), clock_file, routes_file, settings, collector
        )
        environment = surroundings.environment(url_of(listener))
        routes_file.write_text(product.routes_of(_url(model)), encoding="utf-8")
        site = Site(url_of(listener), url_of(listener), launcher.server("server", listener, environment))
        launcher.worker(environment)
        site.wait_until_ready()
        remotes = _REMOTES[collector](_url(provider)), ModelRemote(_url(model))
        return cls(site, *remotes, surroundings, customers, launcher)

    @property
    def provider(self) -> YookassaRemote:
        """The remote control of YooKassa, where that is who collects."""
        assert isinstance(self.payments, YookassaRemote), "this stack was started with another provider"
        return self.payments

    @property
    def stripe(self) -> StripeRemote:
        """The remote control of Stripe, where that is who collects."""
        assert isinstance(self.payments, StripeRemote), "this stack was started with another provider"
        return self.payments

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops every process, the database last, and removes the folder."""
        self.payments.close()
        self.model.close()
        self._launcher.stop_all()
        shutil.rmtree(self._launcher.folder, ignore_errors=True)

    def take_customer(self) -> Login:
        """A customer whom nobody has used yet, with an empty wallet and untouched free limits.

        When all are taken, as many again are seeded, which takes some seconds.

        Raises:
            CommandFailedError: the product seeds no more.
        """
        if self._taken == self.customers:
            self.run_command("seed", "--customers", str(2 * self.customers))
            self.customers *= 2
        self._taken += 1
        return Login(f"customer{self._taken}@demo.example")

    def serve(self, base_path: str, *, strips_prefix: bool = True) -> Site:
        """Another server on the same database, at this path behind a proxy that strips it or passes it on.

        It is on its way; wait for it, or call it at once: its socket listens already.
        """
        listener = self._launcher.listen(0)
        own_url = url_of(listener)
        name = f"server{base_path.replace('/', '-')}"
        words = ["prefix-proxy", "--upstream", own_url, "--prefix", base_path]
        proxy = self._launcher.testkit(f"{name}-proxy", *words, *([] if strips_prefix else ["--keep-prefix"]))
        url = f"{_url(proxy)}{base_path}"
        return Site(url, own_url, self._launcher.server(name, listener, self.surroundings.environment(url)))

    def site_at(self, base_path: str, *, strips_prefix: bool = True) -> Site:
        """The server at this path, started when it is first asked for, and ready; the empty path is `site`.

        Raises:
            StackError: it did not start.
        """
        if not base_path:
            return self.site
        if base_path not in self._sites:
            self._sites[base_path] = self.serve(base_path, strips_prefix=strips_prefix)
        return self._sites[base_path].wait_until_ready()

    def kill_server(self) -> None:
        """Ends the server at `/` with SIGKILL, in the middle of whatever it does; the other processes go on."""
        self._launcher.kill(self.site.server)

    def start_server_again(self) -> None:
        """Starts the server at `/` anew, at the same address, and returns when it is ready.

        Raises:
            StackError: it did not start.
        """
        listener = self._launcher.listen(urlsplit(self.site.own_url).port or 0)
        assert url_of(listener) == self.site.own_url, "nobody else has taken its port meanwhile"
        server = self._launcher.server("server-again", listener, self._environment())
        self.site = Site(self.site.url, self.site.own_url, server).wait_until_ready()

    def verify_books(self) -> Books:
        """Runs `billing ledger verify`.

        Raises:
            CommandFailedError: it could not verify.
        """
        done = product.run(["ledger", "verify"], environment=self._environment())
        if done.returncode not in {0, 1}:
            raise CommandFailedError("billing ledger verify", done.returncode, done.stderr)
        return Books(are_right=done.returncode == 0, report=f"{done.stdout}{done.stderr}".strip())

    def set_free_terms(
        self, *, is_enabled: bool = True, tokens: int = 20_000, models: Sequence[str] = ("demo-free",)
    ) -> None:
        """Puts new free terms in force for everybody on this stack: so many tokens in and out, on these models.

        Raises:
            CommandFailedError: the product refuses them.
        """
        words = ["free-quota", "set", "--enabled" if is_enabled else "--no-enabled"]
        words += ["--input-tokens", str(tokens), "--output-tokens", str(tokens)]
        self.run_command(*words, *(word for model in models for word in ("--model", model)))

    def run_command(self, *words: str) -> str:
        """Runs a command of the product and answers what it printed.

        Raises:
            CommandFailedError: it failed.
        """
        return product.run_or_fail(*words, environment=self._environment())

    def move_clock(self, seconds: float) -> None:
        """Sets how far the product's clock is ahead of the machine's, in all its processes.

        Only forward: a process never tells an earlier moment than before, so the stack is for one use afterwards.
        """
        waiting = self.surroundings.clock_file.with_suffix(".new")
        waiting.write_text(str(seconds), encoding="ascii")
        waiting.replace(self.surroundings.clock_file)

    def require_alive(self) -> None:
        """Looks whether every process still runs.

        Raises:
            ProcessDiedError: one does not; the sentence has the end of its log.
        """
        for process in self._launcher.processes:
            process.require_alive()

    @property
    def processes(self) -> tuple[Process, ...]:
        """The processes of the stack, without the database's."""
        return tuple(self._launcher.processes)

    def _environment(self) -> dict[str, str]:
        return self.surroundings.environment(self.site.url)


_REMOTES: Mapping[product.Collector, type[YookassaRemote | StripeRemote]] = {
    product.Collector.YOOKASSA: YookassaRemote,
    product.Collector.STRIPE: StripeRemote,
}


def _simulators(
    launcher: Launcher, ports: Ports, site_url: str, collector: product.Collector
) -> tuple[Process, Process]:
    port = ["--port", str(free_port_like(ports.provider))]
    webhook = ["--webhook-url", f"{site_url}/webhooks/{collector}"]
    webhook += ["--webhook-source-address", product.NOTIFIER_ADDRESS]
    provider = launcher.testkit(collector, "simulator", collector, *port, *webhook, *_account_at(collector))
    names = [word for name in product.UPSTREAM_MODELS.values() for word in ("--name", name)]
    port = ["--port", str(free_port_like(ports.model))]
    model = launcher.testkit("model", "simulator", "model", *port, "--api-key", product.UPSTREAM_KEY, *names)
    return provider, model


def _account_at(collector: product.Collector) -> list[str]:
    match collector:
        case product.Collector.YOOKASSA:
            shop = ["--shop-id", product.SHOP_ID, "--secret-key", product.SECRET_KEY]
            return [*shop, "--webhook-query", f"token={product.WEBHOOK_TOKEN}"]
        case product.Collector.STRIPE:
            account = ["--account-id", product.STRIPE_ACCOUNT_ID, "--secret-key", product.STRIPE_SECRET_KEY]
            return [*account, "--webhook-secret", product.STRIPE_SIGNING_SECRET]


def _url(process: Process) -> str:
    return str(process.first_words(within_seconds=_READY_SECONDS_MAX)["url"])


def _logs_folder(folder: Path) -> Path:
    kept = os.environ.get("CONFIDENCE_SERVER_DIR")
    logs = Path(kept) / folder.name if kept else folder / "logs"
    logs.mkdir(parents=True)
    return logs

"""What the gateway is measured with: the fake provider, the gateway itself as it is served, and LiteLLM's proxy."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.engine import URL

from backend.tests.builders.customers import Town, customers_service
from billing import migrations
from billing.customers.rules import Scope
from billing.kit.database import parse_database_url
from billing.kit.embedded_postgres import EmbeddedPostgres
from billing.kit.money import Money, parse_currency
from billing.ledger.chart_of_accounts import PROMOTIONS
from billing.ledger.invariants import Drift
from billing.pricing.seed import DEMO_LARGE, DEMO_SMALL, seed_demo_rates
from billing.wallets.models import LotSource
from billing.wiring.services import services
from billing.wiring.settings import read_settings

# The newest release at the time of writing that its own community does not warn of.
LITELLM = "litellm[proxy]==1.106.2"
QUICK_MODEL = DEMO_SMALL
SLOW_MODEL = DEMO_LARGE
_LITELLM_KEY = "sk-benchmark-0123456789abcdef0123456789"
_UPSTREAM_KEY = "sk-fake-upstream"
_START_SECONDS_MAX = 120.0
_STOP_SECONDS_MAX = 10.0
_INSTALL_SECONDS_MAX = 900.0


class NoComparisonError(Exception):
    """What ours is compared with cannot be had here, so there is nothing to judge."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers chat requests: where, with which keys, and in which process."""

    name: str
    url: str
    keys: tuple[str, ...]
    process: int


@contextlib.contextmanager
def fake_upstream(*, events: int, interval_ms: float) -> Iterator[Served]:
    """The provider that costs almost nothing."""
    command = [sys.executable, str(Path(__file__).with_name("fake_upstream.py"))]
    pace = ["--events", str(events), "--interval-ms", str(interval_ms)]
    with subprocess.Popen([*command, *pace], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None, "piped"
        assert process.stdout is not None, "piped"
        try:
            port = int(process.stdout.readline())
            yield Served("fake upstream", f"http://127.0.0.1:{port}/v1/chat/completions", ("-",), process.pid)
        finally:
            process.stdin.close()
            _end(process)


@dataclass(frozen=True, slots=True)
class Books:
    """The database behind the gateway, and the keys of customers with a full wallet each."""

    url: URL
    address: str
    keys: tuple[str, ...]


@contextlib.contextmanager
def books(customers: int) -> Iterator[Books]:
    """A new database with prices and customers."""
    with tempfile.TemporaryDirectory(prefix="bc-bench-") as folder:
        Path(folder).chmod(0o755)  # the server runs as another user where we are root
        with EmbeddedPostgres.start(Path(folder) / "data") as server:
            url = parse_database_url(server.url())
            migrations.upgrade(url)
            yield Books(url, server.url(), asyncio.run(_keys(url, customers)))


@contextlib.contextmanager
def gateway(ledger: Books, quick: Served, slow: Served) -> Iterator[Served]:
    """`billing serve`, one process, as an installation runs it."""
    with tempfile.TemporaryDirectory(prefix="bc-bench-") as folder:
        routes = Path(folder) / "routes.toml"
        routes.write_text(_routes({QUICK_MODEL: quick, SLOW_MODEL: slow}), encoding="utf-8")
        port = _free_port()
        environment = {
            **os.environ,
            "DATABASE_URL": ledger.address,
            "BILLING_MODEL_ROUTES_FILE": str(routes),
            "BILLING_LOG_LEVEL": "WARNING",
        }
        command = [str(Path(sys.executable).with_name("billing")), "serve", "--port", str(port)]
        with _running(command, environment, Path(folder)) as process:
            _wait_for(port, "/readyz", process)
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            yield Served("gateway", url, ledger.keys, process.pid)


@contextlib.contextmanager
def litellm_proxy(quick: Served, slow: Served) -> Iterator[Served]:
    """LiteLLM's proxy, one worker, without a database.

    Raises:
        NoComparisonError: it cannot be installed here, or does not start.
    """
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": _LITELLM_KEY,
        "LITELLM_LOG": "ERROR",
        "PYTHONWARNINGS": "ignore",
    }
    program = _installed_litellm()
    with tempfile.TemporaryDirectory(prefix="bc-bench-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(_litellm_config({QUICK_MODEL: quick, SLOW_MODEL: slow}), encoding="utf-8")
        port = _free_port()
        where = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
        with _running([str(program), "--config", str(config), *where], environment, Path(folder)) as process:
            _wait_for(port, "/health/liveliness", process)
            yield Served("LiteLLM", f"http://127.0.0.1:{port}/v1/chat/completions", (_LITELLM_KEY,), process.pid)


def _installed_litellm() -> Path:
    """Its program, in an environment of its own that is made once per version and user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "billing-confidence" / LITELLM.replace("[", "-").replace("]==", "-")
    program = folder / "bin" / "litellm"
    if (folder / "complete").exists():
        return program
    print(f"Installing {LITELLM} into {folder}, which takes some minutes, once.", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", LITELLM]
        subprocess.run(install, check=True, capture_output=True, timeout=_INSTALL_SECONDS_MAX)
    except (OSError, subprocess.SubprocessError) as error:
        raise NoComparisonError(f"{LITELLM} cannot be installed: {error}") from error
    (folder / "complete").touch()
    return program


def drifts(ledger: Books) -> tuple[Drift, ...]:
    """What `billing ledger verify` finds wrong in these books."""

    async def verified() -> tuple[Drift, ...]:
        async with services(read_settings({}), ledger.url) as built:
            return tuple(await built.verification.drifts())

    return asyncio.run(verified())


async def _keys(url: URL, customers: int) -> tuple[str, ...]:
    roubles = parse_currency("RUB")
    async with services(read_settings({}), url) as built:
        town = Town(customers_service(built.begin, built.clock, built.ids), built.begin)
        async with built.begin() as uow:
            await seed_demo_rates(uow, built.pricing, built.clock.now())
        keys = []
        for number in range(customers):
            customer = await town.customer()
            async with built.begin() as uow:
                wallet_id = await built.wallets.of_account(uow, customer.account.id, roubles)
                await built.wallets.credit(
                    uow,
                    wallet_id,
                    Money.from_decimal("1000000", roubles),
                    source=LotSource.PROMOTION,
                    transfer_id=f"trf_bench_{number}",
                    counter_account=PROMOTIONS,
                    origin="benchmark",
                )
            new = await town.service.create_api_key(
                customer.principal, "benchmark", scopes=frozenset(Scope), request_id="req_benchmark"
            )
            keys.append(new.secret)
        return tuple(keys)


def _routes(models: Mapping[str, Served]) -> str:
    lines = []
    for model, upstream in models.items():
        lines += [f'[upstreams."{model}"]', f'base_url = "{_base(upstream)}"', f'api_key = "{_UPSTREAM_KEY}"']
        lines += [f'[models."{model}"]', f'upstream = "{model}"', 'upstream_model = "fake-model"']
    return "\n".join([*lines, ""])


def _litellm_config(models: Mapping[str, Served]) -> str:
    lines = ["model_list:"]
    for model, upstream in models.items():
        lines += [
            f"  - model_name: {model}",
            "    litellm_params:",
            "      model: openai/fake-model",
            f"      api_base: {_base(upstream)}",
            f"      api_key: {_UPSTREAM_KEY}",
        ]
    return "\n".join([*lines, ""])


def _base(upstream: Served) -> str:
    return upstream.url.removesuffix("/chat/completions")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            yield process
        except BaseException:
            print((folder / "log").read_text(errors="replace")[-2000:], file=sys.stderr)
            raise
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()


def _wait_for(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < ends_at and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            time.sleep(0.2)  # it has not begun to listen
        finally:
            connection.close()
    raise NoComparisonError(f"{urlsplit(path).path} did not answer on port {port}")

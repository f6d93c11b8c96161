"""Five hundred signed notifications, at once and within ten seconds: when they are acknowledged, when credited."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import psycopg

from backend.benchmarks.gateway_contenders import Books, books, drifts
from backend.benchmarks.http_load import percentile
from backend.benchmarks.judgement import Check, Judgement
from billing.webhooks.signatures import sign
from testkit.loopback import NO_TLS

_EVENTS = 500
_PER_CUSTOMER = 20
_PER_SECOND = 50.0
"""Five hundred in ten seconds: what is judged."""
_CLIENTS = 32
_WARM_UP = 20
_WARM_UP_PER_SECOND = 25.0
_ACKNOWLEDGED_MS_MAX = 250.0
_CREDITED_MS_MAX = 500.0
_HEADROOM_MIN = 1.0
"""Worked off as fast as they come, or they pile up for as long as it lasts."""
_LOOK_EVERY_SECONDS = 0.02
_SEEN_LATE_SECONDS_MAX = 10.0
_END_SECONDS_MAX = 120.0
_START_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 15.0
_MILLISECONDS = 1000.0
_SHOP, _KEY = "100500", "test_simulated_secret"
_SECRET = "whsec_benchmark_0123456789"  # noqa: S105 - between two processes of one benchmark


@dataclass(frozen=True, slots=True)
class _Payment:
    """A payment that its customer has paid, by both names."""

    ours: str
    theirs: str


@dataclass(slots=True)
class _Burst:
    """When each notification was sent, acknowledged and seen to be credited, in seconds, and every status."""

    sent: dict[str, float] = field(default_factory=dict)
    acknowledged: dict[str, float] = field(default_factory=dict)
    credited: dict[str, float] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    worked_seconds: tuple[float, float] = (0.0, 0.0)
    """What server and worker took of the processor, whoever else was on the machine."""

    def acknowledged_ms(self, share: int) -> float:
        """How long the answer took."""
        return _percentile([self.acknowledged[name] - self.sent[name] for name in self.sent], share)

    def credited_ms(self, share: int) -> float:
        """How long the money took from the moment when the notification set out; never, where it did not come."""
        ends_never = float("inf")
        return _percentile([self.credited.get(name, ends_never) - self.sent[name] for name in self.sent], share)


@dataclass(frozen=True, slots=True)
class _Ground:
    """The served product with its worker, and the provider."""

    ledger: Books
    url: str
    provider: str
    server: psutil.Process
    worker: psutil.Process


def webhook_burst() -> Judgement:
    """Notifications to credit through `billing serve` and `billing worker`, read back from a simulated YooKassa."""
    with _ground() as ground:
        at_once, paced = asyncio.run(_measured(ground))
        credits_count = _credits(ground)
        credited_a_second = _EVENTS / at_once.credited_ms(100) * _MILLISECONDS
        figures = {
            name: {
                "acknowledged p50 ms": burst.acknowledged_ms(50),
                "acknowledged p99 ms": burst.acknowledged_ms(99),
                "credited p50 ms": burst.credited_ms(50),
                "credited p95 ms": burst.credited_ms(95),
                "credited last ms": burst.credited_ms(100),
                "server's CPU ms each": burst.worked_seconds[0] * _MILLISECONDS / _EVENTS,
                "worker's CPU ms each": burst.worked_seconds[1] * _MILLISECONDS / _EVENTS,
            }
            for name, burst in (("all at once", at_once), (f"{_PER_SECOND:g} a second", paced))
        }
        statuses = [*at_once.statuses, *paced.statuses]
        checks = (
            Check("answers other than 200", float(sum(status != 200 for status in statuses)), "answers", ceiling=0.0),  # noqa: PLR2004 - HTTP's own number
            Check("acknowledged p99, paced", paced.acknowledged_ms(99), "ms", ceiling=_ACKNOWLEDGED_MS_MAX),
            Check("credited p50, paced", paced.credited_ms(50), "ms"),
            Check("credited p95, paced", paced.credited_ms(95), "ms", ceiling=_CREDITED_MS_MAX),
            Check("credited a second at once, by the pace", credited_a_second / _PER_SECOND, "x", floor=_HEADROOM_MIN),
            Check("acknowledged p99, at once", at_once.acknowledged_ms(99), "ms"),
            Check("all credited, at once", at_once.credited_ms(100) / _MILLISECONDS, "s"),
            Check("credits by payments", credits_count / (2 * _EVENTS + _WARM_UP), "times", floor=1.0, ceiling=1.0),
            Check("drifts in the books", float(len(drifts(ground.ledger))), "drifts", ceiling=0.0),
        )
        judgement = Judgement("webhook-burst", checks, figures)
        judgement.show()
        return judgement


async def _measured(ground: _Ground) -> tuple[_Burst, _Burst]:
    paid = await _paid(ground, 2 * _EVENTS + _WARM_UP)
    await _burst(ground, paid[:_WARM_UP], per_second=_WARM_UP_PER_SECOND)
    at_once = await _burst(ground, paid[_WARM_UP : _WARM_UP + _EVENTS], per_second=None)
    return at_once, await _burst(ground, paid[_WARM_UP + _EVENTS :], per_second=_PER_SECOND)


async def _paid(ground: _Ground, count: int) -> Sequence[_Payment]:
    """So many payments that were begun here and paid there, and that we know nothing of."""
    payments: list[_Payment] = []
    waiting = asyncio.Semaphore(8)

    async def pay(number: int) -> None:
        customer, amount = divmod(number, _PER_CUSTOMER)
        headers = {"Authorization": f"Bearer {ground.ledger.keys[customer]}", "Idempotency-Key": f"burst-{number}"}
        body = {"amount": str(100 + amount), "currency": "RUB"}
        async with waiting:
            begun = await ours.post("/api/v1/billing/topups", json=body, headers=headers)
            begun.raise_for_status()
            theirs_id = begun.json()["confirmation_url"].rstrip("/").split("/")[-1].split("=")[-1]
            (await theirs.post(f"/control/payments/{theirs_id}/pay")).raise_for_status()
            payments.append(_Payment(begun.json()["payment_id"], theirs_id))

    async with _client(ground.url) as ours, _client(ground.provider) as theirs:
        await asyncio.gather(*(pay(number) for number in range(count)))
    return payments


async def _burst(ground: _Ground, paid: Sequence[_Payment], *, per_second: float | None) -> _Burst:
    """Sends a notification about each payment, and looks when it is credited."""
    burst, before = _Burst(), _worked(ground)
    senders = asyncio.Semaphore(_CLIENTS)
    began = time.perf_counter()

    async def tell(number: int, payment: _Payment) -> None:
        if per_second is not None:
            await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
        body = _notification(payment)
        headers = {
            "Content-Type": "application/json",
            "X-Webhook-Signature": sign(body, _SECRET.encode(), at=datetime.now(UTC)).decode(),
        }
        async with senders:
            burst.sent[payment.ours] = time.perf_counter()
            answer = await client.post("/webhooks/yookassa", content=body, headers=headers)
            burst.acknowledged[payment.ours] = time.perf_counter()
            burst.statuses.append(answer.status_code)

    async with _client(ground.url) as client, asyncio.TaskGroup() as group:
        group.create_task(_look(ground, burst, {payment.ours for payment in paid}))
        for number, payment in enumerate(paid):
            group.create_task(tell(number, payment))
    server, worker = (after - earlier for after, earlier in zip(_worked(ground), before, strict=True))
    burst.worked_seconds = (server, worker)
    return burst


def _worked(ground: _Ground) -> tuple[float, float]:
    """Seconds of the processor that server and worker have had."""
    server, worker = ground.server.cpu_times(), ground.worker.cpu_times()
    return server.user + server.system, worker.user + worker.system


async def _look(ground: _Ground, burst: _Burst, expected: set[str]) -> None:
    """Notes when each of these payments is first seen with its credit committed.

    It asks only about those of the last ten seconds, because whoever looks takes of the same processor.
    """
    gives_up_at = time.perf_counter() + _END_SECONDS_MAX
    question = "SELECT id FROM payments WHERE succeeded_at > now() - make_interval(secs => %s)"
    async with await psycopg.AsyncConnection.connect(ground.ledger.address, autocommit=True) as connection:
        while expected - burst.credited.keys() and time.perf_counter() < gives_up_at:
            found = await connection.execute(question, (_SEEN_LATE_SECONDS_MAX,))
            seen_at = time.perf_counter()
            for (payment_id,) in await found.fetchall():
                if payment_id in expected:
                    burst.credited.setdefault(payment_id, seen_at)
            await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _notification(payment: _Payment) -> bytes:
    about = {"id": payment.theirs, "status": "succeeded", "paid": True}
    return json.dumps({"type": "notification", "event": "payment.succeeded", "object": about}).encode()


def _credits(ground: _Ground) -> int:
    with psycopg.connect(ground.ledger.address) as connection:
        found = connection.execute("SELECT count(*) FROM credit_lots WHERE source = 'topup'").fetchone()
    assert found is not None, "a count is always there"
    return int(found[0])


def _percentile(seconds: Sequence[float], share: int) -> float:
    return percentile(sorted(taken * _MILLISECONDS for taken in seconds), share)


def _client(base_url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=_CLIENTS)
    return httpx.AsyncClient(base_url=base_url, verify=NO_TLS, trust_env=False, timeout=30.0, limits=limits)


@contextlib.contextmanager
def _ground() -> Iterator[_Ground]:
    customers = -(-(2 * _EVENTS + _WARM_UP) // _PER_CUSTOMER)
    with books(customers) as ledger, contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bc-bench-")))
        programs = Path(sys.executable).parent
        simulator = [str(programs / "testkit"), "simulator", "yookassa", "--shop-id", _SHOP, "--secret-key", _KEY]
        provider = stack.enter_context(_announced(simulator))
        environment = _environment(ledger, provider)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        server, worker = (
            stack.enter_context(_running([str(programs / "billing"), *words], environment, folder / words[0]))
            for words in (["serve", "--port", str(port)], ["worker"])
        )
        url = f"http://127.0.0.1:{port}"
        _wait_for(url)
        yield _Ground(ledger, url, provider, server, worker)


def _environment(ledger: Books, provider: str) -> Mapping[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": ledger.address,
        "BILLING_LOG_LEVEL": "WARNING",
        "IDENTITY_PAYMENT_PROVIDER": "simulator",
        "YOOKASSA_SHOP_ID": _SHOP,
        "YOOKASSA_SECRET_KEY": _KEY,
        "YOOKASSA_API_URL": f"{provider}/v3",
        "BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK": "false",
        "BILLING_WEBHOOK_YOOKASSA_SIGNATURE_CHECK": "true",
        "BILLING_WEBHOOK_YOOKASSA_SIGNING_SECRETS": _SECRET,
        "WORKER_BILLING_ENABLED": "true",
    }


@contextlib.contextmanager
def _announced(command: Sequence[str]) -> Iterator[str]:
    """A simulator, which prints where it is."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "piped"
        try:
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            _end(process)


@contextlib.contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[psutil.Process]:
    with log.open("wb") as lines, subprocess.Popen(command, env=environment, stdout=lines, stderr=lines) as process:
        try:
            yield psutil.Process(process.pid)
        except BaseException:
            print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
            raise
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()


def _wait_for(url: str) -> None:
    """The server is ready, and a worker has shown up."""
    ends_at = time.monotonic() + _START_SECONDS_MAX
    with httpx.Client(base_url=url, verify=NO_TLS, trust_env=False) as client:
        while time.monotonic() < ends_at:
            with contextlib.suppress(httpx.TransportError):
                answer = client.get("/readyz").json()
                if answer["ready"] and answer["checks"]["worker"]["ok"]:
                    return
            time.sleep(0.2)  # a server that starts tells nobody when it is ready; bounded by the deadline above
    raise AssertionError("the product did not become ready")

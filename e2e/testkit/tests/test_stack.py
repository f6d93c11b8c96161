"""The stack: it starts the real product, says what is wrong, and leaves nothing behind, however it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import psutil
import pytest

from testkit.actors.customer import Customer
from testkit.stack.errors import ProcessDiedError
from testkit.stack.stack import Stack
from testkit.waiting import until

pytestmark = pytest.mark.timeout(150)  # starts whole products, on a machine that may have other work

_PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One product for the tests that only look at it."""
    with Stack.start() as stack:
        yield stack


@contextlib.contextmanager
def demo(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `testkit demo` and what it said before it waits."""
    command = [sys.executable, "-m", "testkit.cli", "demo", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = ""
            for line in process.stdout:
                said += line
                if "Ctrl-C stops everything" in line:
                    break
            yield process, said
        finally:
            process.kill()


def folders_of(owner: int) -> set[str]:
    """The folders of the stacks that a process has started."""
    children = psutil.Process(owner).children(recursive=True)
    return {word for child in children for word in child.cmdline() if re.fullmatch(r".*/stack-\w+", word)}


def members(owner: int) -> list[psutil.Process]:
    """Everything that a stack's owner has started, PostgreSQL's own processes included."""
    children = psutil.Process(owner).children(recursive=True)
    folders = folders_of(owner)
    postgres = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(folder in " ".join(process.info["cmdline"] or []) for folder in folders)
    ]
    return list({process.pid: process for process in [*children, *postgres]}.values())


def alive(processes: list[psutil.Process]) -> list[str]:
    """What of it still runs."""
    return [str(process) for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


class TestTheRealProductRuns:
    def test_a_customer_tops_up_and_calls_a_model(self, stack: Stack) -> None:
        with Customer(stack.site, stack.take_customer(), stack.provider) as customer:
            customer.top_up("500.00")

            outcome = customer.call("demo-small")

            assert (outcome.status, outcome.source) == (200, "payg")
            assert outcome.charged
            figures = customer.wallet()
        assert figures.available == Decimal(500) - outcome.charged == outcome.available
        assert figures.held == figures.debt == Decimal(0)
        assert stack.verify_books().are_right

    def test_free_limits_can_be_used_up_and_free_terms_changed(self, stack: Stack) -> None:
        with Customer(stack.site, stack.take_customer(), stack.provider) as customer:
            customer.spend_free_limits(stack.model)
            assert [metric["left"] for metric in customer.free_limits()["metrics"]] == [0, 0]

            stack.set_free_terms(models=())

            assert not customer.free_limits()["has_free_model"]
        stack.set_free_terms()

    def test_under_another_path_addresses_begin_with_it(self, stack: Stack) -> None:
        for base_path, strips_prefix in (("/chat", True), ("/a/b", False)):
            site = stack.serve(base_path, strips_prefix=strips_prefix).wait_until_ready()

            answer = httpx.get(site.href("/billing/balance"), trust_env=False)

            assert answer.headers["location"].startswith(f"{base_path}/sign-in?")

    def test_every_customer_is_given_once_and_more_are_seeded_when_all_are_taken(self) -> None:
        with Stack.start(customers=1) as stack:
            first, second = stack.take_customer(), stack.take_customer()

            with Customer(stack.site, second, stack.provider) as customer:
                customer.sign_in()

        assert first != second


class TestWhatGoesWrongIsSaid:
    def test_a_product_that_refuses_its_settings_is_quoted_and_leaves_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others = set(psutil.Process().children(recursive=True))
        make = tempfile.mkdtemp
        folder = make(prefix="stack-")
        monkeypatch.setattr(tempfile, "mkdtemp", lambda **how: folder if how["prefix"] == "stack-" else make(**how))

        with pytest.raises(ProcessDiedError, match="BILLING_NONSENSE is not a setting of this version"):
            Stack.start(settings={"BILLING_NONSENSE": "1"})

        assert alive(list(set(psutil.Process().children(recursive=True)) - others)) == []
        assert not Path(folder).exists()

    def test_a_killed_worker_is_named_and_takes_nobody_along(self) -> None:
        with Stack.start() as stack:
            worker = stack.processes[-1]

            os.kill(worker.pid, signal.SIGKILL)

            assert until(-9, lambda: worker.status) == -9
            with pytest.raises(ProcessDiedError, match="worker ended with status -9"):
                stack.require_alive()
            assert httpx.get(stack.site.href("/healthz"), trust_env=False).status_code == 200


class TestNothingIsLeftBehind:
    def test_stopping_ends_every_process_by_itself_and_removes_the_folder(self) -> None:
        others = members(os.getpid())
        with Stack.start() as stack:
            everything = list(set(members(os.getpid())) - set(others))
            folder = stack.surroundings.clock_file.parent
            assert folder.exists()

        assert [process.status for process in stack.processes] == [0] * 4
        assert alive(everything) == []
        assert not folder.exists()

    def test_ctrl_c_stops_the_demo(self) -> None:
        with demo("--port", "0", "--provider-port", "0", "--model-port", "0") as (process, _):
            everything = members(process.pid)

            process.send_signal(signal.SIGINT)

            assert process.wait(_PATIENCE_SECONDS) == 0
            assert process.stdout is not None
            assert process.stdout.read().splitlines()[-1] == "Everything has stopped."
        assert len(everything) > 5
        assert alive(everything) == []

    def test_an_owner_that_is_killed_takes_everything_along(self) -> None:
        with demo("--port", "0", "--provider-port", "0", "--model-port", "0") as (process, _):
            everything, (folder,) = members(process.pid), folders_of(process.pid)

            process.kill()

            assert until([], lambda: alive(everything), within_seconds=_PATIENCE_SECONDS) == []
        assert until(False, Path(folder).exists) is False


class TestTheDemoSaysWhereEverythingIs:
    def test_on_the_ports_that_were_asked_for_or_on_free_ones(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
            wanted, occupied = free.getsockname()[1], taken.getsockname()[1]
            free.close()

            with demo("--port", str(wanted), "--provider-port", str(occupied), "--model-port", "0") as (_, said):
                balance = re.search(r"Wallet page +(\S+)", said)
                payments = re.search(r"Payments +(\S+)", said)
                settings_file = re.search(r"\. (\S+/demo\.env)", said)

                assert balance is not None
                assert balance[1] == f"http://127.0.0.1:{wanted}/billing/balance"
                assert payments is not None
                assert f":{occupied}/" not in payments[1]
                assert httpx.get(balance[1], trust_env=False, follow_redirects=True).status_code == 200
                assert "customer1@demo.example" in said
                assert "to see Stripe: make demo PROVIDER=stripe" in said
                assert settings_file is not None
                settings = Path(settings_file[1]).read_text(encoding="utf-8").splitlines()
                assert f"export BILLING_PUBLIC_BASE_URL=http://127.0.0.1:{wanted}" in settings
                assert f"export YOOKASSA_API_URL={payments[1]}v3" in settings

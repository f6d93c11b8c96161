"""The simulators as processes of their own: they say when they are ready, and stop when told to."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from testkit.simulators.faults import Fault, FaultKind
from testkit.simulators.remote import ModelRemote, YookassaRemote

_PATIENCE_SECONDS = 30


@contextlib.contextmanager
def simulator(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `testkit simulator ...` and its address."""
    command = [sys.executable, "-m", "testkit.cli", "simulator", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["ready"] is True
            yield process, ready["url"]
        finally:
            process.kill()


class TestReadiness:
    def test_yookassa_accepts_connections_once_it_says_so(self) -> None:
        with simulator("yookassa", "--shop-id", "42", "--secret-key", "s3cret", "--port", "0") as (_, url):
            answer = httpx.get(f"{url}/v3/me", auth=("42", "s3cret"))

        assert answer.json()["account_id"] == "42"

    def test_stripe_serves_the_named_account(self) -> None:
        with simulator("stripe", "--account-id", "acct_42", "--secret-key", "sk_test_42") as (_, url):
            answer = httpx.get(f"{url}/v1/account", headers={"Authorization": "Bearer sk_test_42"})

        assert answer.json()["id"] == "acct_42"

    def test_the_webhook_can_be_set_from_the_start(self) -> None:
        webhook = ["--webhook-url", "http://127.0.0.1:9/hook", "--webhook-source-address", "127.0.0.2"]
        extras = ["--webhook-query", "token=a=b", "--webhook-header", "X-Relay=r1"]
        with simulator("yookassa", *webhook, *extras) as (_, url), YookassaRemote(url) as remote:
            remote.reset()
            target = httpx.get(f"{url}/control/webhook").json()

        assert target["url"] == "http://127.0.0.1:9/hook"
        assert target["source_address"] == "127.0.0.2"
        assert (target["query"], target["headers"]) == ({"token": "a=b"}, {"X-Relay": "r1"})

    def test_the_model_serves_the_named_models(self) -> None:
        with simulator("model", "--api-key", "sk-1", "--name", "one", "--name", "two") as (_, url):
            answer = httpx.get(f"{url}/v1/models", headers={"Authorization": "Bearer sk-1"})

        assert [model["id"] for model in answer.json()["data"]] == ["one", "two"]


class TestStopping:
    @pytest.mark.parametrize("kind", ["yookassa", "model"])
    def test_sigterm_ends_it_cleanly(self, kind: str) -> None:
        with simulator(kind) as (process, url):
            httpx.get(f"{url}/control/faults").raise_for_status()

            process.send_signal(signal.SIGTERM)

            assert process.wait(_PATIENCE_SECONDS) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)

    def test_a_hanging_call_does_not_keep_it_alive(self) -> None:
        with simulator("model") as (process, url), ModelRemote(url) as remote, ThreadPoolExecutor() as pool:
            remote.plan(Fault(kind=FaultKind.HANG))
            hanging = pool.submit(httpx.get, f"{url}/v1/models", timeout=_PATIENCE_SECONDS)
            remote.calls("list_models", at_least=1)

            process.send_signal(signal.SIGTERM)

            assert process.wait(_PATIENCE_SECONDS) == 0
            assert isinstance(hanging.exception(_PATIENCE_SECONDS), httpx.TransportError)

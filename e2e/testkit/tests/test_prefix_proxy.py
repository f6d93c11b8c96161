"""The prefix proxy: which requests it passes on, and as what."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
import pytest

from testkit.simulators.remote import ReceiverRemote
from testkit.simulators.server import running
from testkit.stack.prefix_proxy import create_prefix_proxy


@contextlib.contextmanager
def proxied(receiver: ReceiverRemote, prefix: str, *, strips_prefix: bool) -> Iterator[httpx.Client]:
    """A browser in front of a proxy in front of the webhook receiver, which remembers what reached it."""
    proxy = create_prefix_proxy(receiver.url, prefix, strips_prefix=strips_prefix)
    with running(proxy) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client


class TestTheProxyPassesOn:
    def test_paths_without_the_prefix_when_it_strips(self, receiver: ReceiverRemote) -> None:
        with proxied(receiver, "/a/b", strips_prefix=True) as client:
            for path in ("/a/b/billing/balance?topup=pay_1&x=%2F", "/a/b", "/a/b/%E2%82%BD/c%2Fd"):
                assert client.get(path).status_code == 200

        calls = receiver.calls("receive", at_least=3)
        assert [call["path"] for call in calls] == ["/billing/balance", "/", "/₽/c/d"]
        assert calls[0]["query"] == "topup=pay_1&x=%2F"

    def test_paths_with_the_prefix_when_it_keeps_it(self, receiver: ReceiverRemote) -> None:
        with proxied(receiver, "/chat", strips_prefix=False) as client:
            client.post("/chat/v1/models", content=b"hello")

        (call,) = receiver.calls("receive", at_least=1)
        assert (call["method"], call["path"], call["body"]) == ("POST", "/chat/v1/models", "hello")

    def test_what_the_browser_asked_for_and_nothing_that_it_claims(self, receiver: ReceiverRemote) -> None:
        claimed = {"Host": "shop.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4"}

        with proxied(receiver, "/chat", strips_prefix=True) as client:
            client.get("/chat/", headers=claimed)

        (call,) = receiver.calls("receive", at_least=1)
        told = {name: value for name, value in call["headers"].items() if name.startswith("x-forwarded-")}
        assert told == {
            "x-forwarded-for": "1.2.3.4, 127.0.0.1",
            "x-forwarded-proto": "http",
            "x-forwarded-host": "shop.example",
            "x-forwarded-prefix": "/chat",
        }


class TestTheProxyKeepsOut:
    @pytest.mark.parametrize("path", ["/", "/chatter", "/billing/balance"])
    def test_what_does_not_lie_under_its_prefix(self, receiver: ReceiverRemote, path: str) -> None:
        with proxied(receiver, "/chat", strips_prefix=True) as client:
            answer = client.get(path)

        assert answer.status_code == 404
        assert receiver.calls("receive") == []

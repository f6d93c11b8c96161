"""Tests wait for events, not for time to pass."""

from __future__ import annotations

import ast

import pytest

from backend.tests.architecture.sources import Line, modules, tree_of

_SUITES = ("backend/tests/", "backend/benchmarks/", "e2e/", "frontend_tests/", "ci/tests/")
_WAITS = frozenset({"time.sleep", "asyncio.sleep", "anyio.sleep", "trio.sleep", "page.wait_for_timeout"})

# Bounded looks at what tells nobody when it changes, and simulated parties whose slowness is the point.
MAY_WAIT = {
    "backend/benchmarks/gateway.py": "looks at a process's memory ten times a second while it is under load",
    "backend/benchmarks/gateway_contenders.py": "a server that starts has no way to call us; bounded by a deadline",
    "backend/benchmarks/webhook_burst.py": "keeps a pace, looks when rows change and at a server that starts; bounded",
    "backend/tests/builders/jobs.py": "rows of the job queue tell nobody when they change; 15 s at the most",
    "backend/tests/concurrency/test_payments_at_once.py": "whoever waits for a lock tells nobody; 60 s at the most",
    "backend/tests/concurrency/test_webhook_burst.py": "looks at a server that starts and at rows; 90 s at the most",
    "backend/tests/contracts/test_gateway_http_upstream.py": "a provider that answers drop by drop",
    "backend/tests/contracts/test_webhooks_carrier.py": "a receiver that answers header by header",
    "e2e/testkit/simulators/door.py": "a planned fault: the simulated party answers late",
    "e2e/testkit/simulators/notifications.py": "the simulated provider waits before it notifies again",
    "e2e/testkit/stack/site.py": "a server that starts has no way to call us; bounded by a deadline",
    "e2e/testkit/waiting.py": "pages and processes are looked at until they are as expected, each time with a limit",
}


def waits_in(name: str, source: str) -> list[Line]:
    return [
        Line(name, node.lineno, ast.unparse(node))
        for node in ast.walk(tree_of(source))
        if isinstance(node, ast.Call) and is_a_wait(node)
    ]


def is_a_wait(call: ast.Call) -> bool:
    """Lets time pass; `asyncio.sleep(0)` only lets others have their turn."""
    gives_way = ast.unparse(call) == "asyncio.sleep(0)"
    return not gives_way and (
        ast.unparse(call.func) in _WAITS or ast.unparse(call.func).rpartition(".")[2] == "wait_for_timeout"
    )


class TestWaiting:
    def test_no_test_sleeps(self) -> None:
        """A sleep is too short on a slow machine and wasted on a fast one: it makes tests flaky and slow at once."""
        found = [
            line
            for name, source in modules()
            if name.startswith(_SUITES) and name not in MAY_WAIT
            for line in waits_in(name, source)
        ]

        assert [str(line) for line in found] == []

    def test_every_file_that_may_wait_still_waits(self) -> None:
        """An exception that nobody needs any more is an open door."""
        waiting = {name for name, source in modules() if waits_in(name, source)}

        assert set(MAY_WAIT) - waiting == set()

    @pytest.mark.parametrize("call", ["time.sleep(1)", "await asyncio.sleep(0.1)", "page.wait_for_timeout(500)"])
    def test_the_check_sees_one(self, call: str) -> None:
        assert waits_in("module.py", f"async def wait():\n    {call}\n")

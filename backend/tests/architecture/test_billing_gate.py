"""Nobody but the gateway's service can reach a model provider (G12).

`backend/tests/api/test_gateway_doors.py` tries every route of the running application; here is why it cannot be
otherwise: what reaches a provider is held in one place, and every route that costs money leads there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from backend.tests.architecture.sources import modules, tree_of
from billing.gateway import endpoints
from billing.gateway.rules.doors import Door

_PRODUCT = "backend/src/billing/"
_HTTP_CLIENTS = frozenset({"aiohttp", "httpx", "requests", "urllib", "http", "openai", "socket"})
_HARMLESS = ("http.HTTPStatus", "urllib.parse")
_PORT = "ModelUpstream"

MAY_HOLD_THE_PORT = {
    "backend/src/billing/gateway/forwarding.py": "sends what has been paid for, for the gateway's service only",
    "backend/src/billing/gateway/service.py": "is the gate",
}
MAY_FORWARD = {
    "backend/src/billing/gateway/service.py": "is the gate",
    "backend/src/billing/gateway/streaming.py": "opens the streams that the gate has let in",
    "backend/src/billing/gateway/pump.py": "reads such a stream",
}
"""Who may hold the `Forwarder`, which holds the port."""
MAY_BUILD_IT = {
    "backend/src/billing/wiring/services.py": "puts it into the gateway's service",
}
MAY_TALK = {
    "backend/src/billing/cli.py": "binds the socket that the server listens on",
}


def uses_of(name: str, source: str) -> Iterator[int]:
    """The lines on which this name is imported or used."""
    for node in ast.walk(tree_of(source)):
        if (
            (isinstance(node, ast.Name) and node.id == name)
            or (isinstance(node, ast.Attribute) and node.attr == name)
            or (isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names))
        ):
            yield node.lineno


def clients_in(source: str) -> Iterator[int]:
    """The lines on which something is imported that can talk to strangers."""
    for node in ast.walk(tree_of(source)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        names = [origin + alias.name for alias in node.names]
        if any(name.partition(".")[0] in _HTTP_CLIENTS and not name.startswith(_HARMLESS) for name in names):
            yield node.lineno


def holders(name: str) -> set[str]:
    """The product's modules that use this name."""
    return {path for path, source in modules(under=_PRODUCT) if any(uses_of(name, source))}


class TestTheWayToAProvider:
    def test_is_held_by_the_gate_alone(self) -> None:
        """Whoever else holds it can call a model that nobody pays for."""
        assert holders(_PORT) == set(MAY_HOLD_THE_PORT)

    def test_is_walked_by_the_gate_alone(self) -> None:
        """The forwarder asks nobody whether a call is paid for: those who hold it must have asked."""
        own = "backend/src/billing/gateway/forwarding.py"

        assert holders("Forwarder") - {own} == set(MAY_FORWARD)

    def test_is_built_by_the_wiring_alone(self) -> None:
        """An adapter that is built elsewhere is a second way, past the gate."""
        own = "backend/src/billing/gateway/adapters/http_upstream.py"

        assert holders("HttpUpstream") - {own} == set(MAY_BUILD_IT)

    def test_needs_an_adapter(self) -> None:
        """Who can talk to strangers without one can talk to a provider."""
        talkers = {
            path for path, source in modules(under=_PRODUCT) if "/adapters/" not in path and any(clients_in(source))
        }

        assert talkers == set(MAY_TALK)

    def test_is_what_the_checks_see(self) -> None:
        """Checks that find nothing where there is something would be green for ever."""
        assert list(uses_of(_PORT, "from billing.gateway.ports import ModelUpstream\n")) == [1]
        assert list(uses_of(_PORT, "def leak(ports):\n    return ports.ModelUpstream\n")) == [2]
        assert list(clients_in("import os\nfrom httpx import AsyncClient\n")) == [2]
        assert list(clients_in("import urllib.request\n")) == [1]
        assert list(clients_in("from urllib.parse import quote\nfrom billing.kit.http import service_of\n")) == []


class TestTheRoutes:
    @pytest.mark.parametrize("prefix", ["/v1/", "/openai/"])
    @pytest.mark.parametrize("door", Door)
    def test_that_cost_money_all_lead_through_the_one_endpoint(self, door: Door, prefix: str) -> None:
        """A door with an endpoint of its own would have a life of a call of its own."""
        found = [
            route for route in endpoints.router.routes if isinstance(route, APIRoute) and route.path == prefix + door
        ]

        assert [(route.methods, route.endpoint.__qualname__) for route in found] == [
            ({"POST"}, "_serve_through.<locals>.answer")
        ]

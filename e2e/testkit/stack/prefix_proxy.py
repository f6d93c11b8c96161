"""A reverse proxy that serves an application under a path, as deployments do that share one host name.

It strips the prefix or passes it on, tells by `X-Forwarded-*` what browsers asked for, and never rewrites an answer:
an application that builds its addresses wrongly is seen to do so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from testkit.loopback import NO_TLS

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ANSWER_SECONDS_MAX = 60.0
# Of one connection only (RFC 9110, section 7.6.1); the host is the upstream's, as most proxies have it.
_NOT_PASSED_ON = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host"})


def create_prefix_proxy(upstream: str, prefix: str, *, strips_prefix: bool) -> Starlette:
    """The proxy in front of `upstream` (scheme, host, port); `prefix` begins with a slash and does not end with one."""
    assert prefix.startswith("/"), "a prefix begins with a slash"
    assert not prefix.endswith("/"), "a prefix does not end with one"

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx.AsyncClient(
            verify=NO_TLS, base_url=upstream, timeout=_ANSWER_SECONDS_MAX, trust_env=False
        ) as client:
            app.state.client = client
            yield

    async def forward(request: Request) -> Response:
        path = request.url.path
        if path != prefix and not path.startswith(f"{prefix}/"):
            return PlainTextResponse(f"This proxy serves {prefix} only.", status_code=404)
        raw_path: bytes = request.scope["raw_path"]
        passed_on = (raw_path[len(prefix) :] or b"/") if strips_prefix else raw_path
        return await _answer(request.app.state.client, request, passed_on, prefix)

    return Starlette(routes=[Route("/{path:path}", forward, methods=list(_METHODS))], lifespan=lifespan)


async def _answer(client: httpx.AsyncClient, request: Request, raw_path: bytes, prefix: str) -> Response:
    query = request.scope["query_string"]
    url = client.base_url.copy_with(raw_path=raw_path + (b"?" + query if query else b""))
    asked = client.build_request(
        request.method, url, headers=_passed_on(request, prefix), content=await request.body() or None
    )
    answer = await client.send(asked, stream=True)
    passed_back = StreamingResponse(
        answer.aiter_raw(), status_code=answer.status_code, background=BackgroundTask(answer.aclose)
    )
    passed_back.raw_headers = [
        (name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _NOT_PASSED_ON
    ]
    return passed_back


def _passed_on(request: Request, prefix: str) -> list[tuple[bytes, bytes]]:
    kept = [
        (name, value)
        for name, value in request.headers.raw
        if name not in _NOT_PASSED_ON and not name.startswith(b"x-forwarded-")
    ]
    seen = request.headers.get("X-Forwarded-For")
    peer = request.client.host if request.client else ""
    return [
        *kept,
        (b"x-forwarded-for", (f"{seen}, {peer}" if seen else peer).encode()),
        (b"x-forwarded-proto", request.url.scheme.encode()),
        (b"x-forwarded-host", request.headers.get("Host", "").encode()),
        (b"x-forwarded-prefix", prefix.encode()),
    ]

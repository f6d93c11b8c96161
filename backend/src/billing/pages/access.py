"""Who sees a page: like the API's callers, but refusals become pages, and nobody there means: sign in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from billing.customers.access import request_id, session_token
from billing.customers.errors import NotSignedIn
from billing.customers.rules import Principal, csrf_token_of
from billing.kit.errors import BillingError
from billing.kit.http import service_of
from billing.kit.public_address import app_path_or
from billing.pages.playground import PlaygroundService
from billing.pages.rendering import Renderer
from billing.pages.service import PagesService
from billing.pages.views import ChipView, FrameView, RefusalView, Section
from billing.payments.service import TopupService

HOME_PATH = "/billing/balance"


class PageRoute(APIRoute):
    """A route whose refusals are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with refusals caught around it."""
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except NotSignedIn:
                return _to_sign_in(request)
            except BillingError as refusal:
                return refusal_page(request, refusal)

        return handle_with_pages


def refusal_page(request: Request, refusal: BillingError) -> Response:
    """The page that says why another one cannot be shown."""
    renderer = service_of(request, Renderer)
    view = RefusalView(renderer.status_of(refusal), refusal.code, request_id(request))
    return renderer.refused("refusal.html", refusal, view=view)


def frame_of(
    request: Request, principal: Principal, *, section: Section | None, chip: ChipView | None = None
) -> FrameView:
    """What surrounds a page for this caller; forms get the session's CSRF token."""
    token = session_token(request)
    return FrameView(csrf_token_of(token) if token else "", section, chip, principal.time_zone)


def app_path_of(text: str | None) -> str | None:
    """The path inside the app that a link asks to be led to afterwards; a spoilt one counts as none."""
    return app_path_or(text or None, "") or None


def _to_sign_in(request: Request) -> Response:
    """Sends the browser to the sign-in page, and from there back to the page that it wanted to see."""
    path = request.url.path.removeprefix(str(request.scope.get("root_path", "")))
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = f"{path}{query}" if request.method == "GET" else HOME_PATH
    return service_of(request, Renderer).see_other(f"/sign-in?{urlencode({'return_to': wanted})}")


def _renderer(request: Request) -> Renderer:
    return service_of(request, Renderer)


def _pages(request: Request) -> PagesService:
    return service_of(request, PagesService)


def _playground(request: Request) -> PlaygroundService:
    return service_of(request, PlaygroundService)


def _topups(request: Request) -> TopupService:
    return service_of(request, TopupService)


Html = Annotated[Renderer, Depends(_renderer)]
Pages = Annotated[PagesService, Depends(_pages)]
Playground = Annotated[PlaygroundService, Depends(_playground)]
Topups = Annotated[TopupService, Depends(_topups)]

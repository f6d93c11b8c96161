"""Listens to a page as a strict customer would: console errors and failed requests are failures."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

_REFUSALS_FROM = 400
# Leaving a page cancels its requests; that is the customer's doing.
_CANCELLED = "net::ERR_ABORTED"
# The browser's own line about a status; the status itself is judged where it arrives.
_STATUS_LINE = "Failed to load resource: the server responded with a status of"


class BrowserWatch:
    """What went wrong in one browser context, and which way it took.

    `complaints` are sentences; a test ends well when there are none. `navigations` are the addresses that the main
    frame asked for, redirects included, in order.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        self.navigations: list[str] = []
        self.console: list[str] = []
        self._expected: set[tuple[int, str]] = set()
        context.on("page", self._follow)
        context.on("console", self._hear)
        context.on("weberror", lambda thrown: self._complain(f"uncaught: {thrown.error}"))
        context.on("request", self._see_request)
        context.on("response", self._see_response)
        context.on("requestfailed", self._see_failure)

    def expect_status(self, status: int, path_end: str = "") -> None:
        """Says that answers with this status, from addresses with this end, belong to the story."""
        self._expected.add((status, path_end))

    def forget_navigations(self) -> None:
        """Begins to write down the way anew."""
        self.navigations.clear()

    def _follow(self, page: Page) -> None:
        page.on("crash", lambda crashed: self._complain(f"{crashed.url} crashed"))

    def _hear(self, message: ConsoleMessage) -> None:
        self.console.append(f"{message.type}: {message.text}")
        if message.type == "error" and not message.text.startswith(_STATUS_LINE):
            self._complain(f"console: {message.text}")

    def _see_request(self, request: Request) -> None:
        if request.is_navigation_request() and request.frame.parent_frame is None:
            self.navigations.append(request.url)

    def _see_response(self, response: Response) -> None:
        if response.status >= _REFUSALS_FROM and not self._is_expected(response):
            self._complain(f"{response.request.method} {response.url} answered {response.status}")

    def _see_failure(self, request: Request) -> None:
        if request.failure != _CANCELLED:
            self._complain(f"{request.method} {request.url} failed: {request.failure}")

    def _is_expected(self, response: Response) -> bool:
        path = response.url.partition("?")[0]
        return any(response.status == status and path.endswith(end) for status, end in self._expected)

    def _complain(self, sentence: str) -> None:
        self.complaints.append(sentence)

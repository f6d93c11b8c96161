"""What a browser test leaves behind: screenshots, and a trace when it failed, under names that never meet."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Error, Page

_WHERE_NO_RUN_SAYS = Path("artifacts") / "browser"


class BrowserEvidence:
    """The files of one attempt of one test; each is announced as a property of the test (`artifact.<kind>`)."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        attempt = os.environ.get("CONFIDENCE_ATTEMPT", "1")
        run = getattr(item, "execution_count", 1)
        digest = hashlib.sha256(f"{item.nodeid}\0{attempt}\0{run}".encode()).hexdigest()[:12]
        self._name = f"{_slug(item.name)}-{digest}"
        self._has_failure = False

    def picture(self, page: Page, label: str) -> Path:
        """A screenshot of the whole page, for people to look at."""
        path = self._place("CONFIDENCE_SCREENSHOTS_DIR", f"{self._name}-{_slug(label)}.png")
        page.screenshot(path=path, full_page=True)
        return self._announce("screenshot", path)

    def of_failure(self, context: BrowserContext) -> None:
        """The trace, and the last look of every page; the second time adds nothing."""
        if self._has_failure:
            return
        self._has_failure = True
        path = self._place("CONFIDENCE_TRACES_DIR", f"{self._name}.zip")
        with contextlib.suppress(Error):  # a browser that is gone can show nothing more; the failure itself is reported
            for number, page in enumerate(context.pages, start=1):
                self.picture(page, f"end-{number}")
            context.tracing.stop(path=path)
            self._announce("trace", path)

    def _place(self, variable: str, name: str) -> Path:
        folder = Path(os.environ.get(variable) or _WHERE_NO_RUN_SAYS)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def _announce(self, kind: str, path: Path) -> Path:
        self._item.user_properties.append((f"artifact.{kind}", str(path)))
        return path


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-")[:60]

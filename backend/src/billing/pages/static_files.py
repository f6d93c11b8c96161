"""Stylesheet and scripts, under addresses that change with their content."""

from __future__ import annotations

import os
from typing import Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from billing.pages.rendering import STATIC_FOLDER

_KEPT_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASKED_EVERY_TIME: Final = "no-cache"


class PageFiles(StaticFiles):
    """Serves the static folder; only the present version's address may be kept by browsers for ever.

    While two versions are deployed side by side, a page of the other version gets this one's files, and no cache
    learns them under the wrong address.
    """

    def __init__(self, version: str) -> None:
        super().__init__(directory=STATIC_FOLDER)
        self._version = version

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file with how long it may be kept, and never taken for another type than it says."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        is_present = scope["path_params"].get("version") == self._version
        response.headers["Cache-Control"] = _KEPT_FOR_EVER if is_present else _ASKED_EVERY_TIME
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

"""One server of the product, as browsers find it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

import httpx

from testkit.stack.errors import NotReadyError
from testkit.stack.processes import Process

_READY_SECONDS_MAX = 60.0
_LOOK_SECONDS = 0.05
_ANSWER_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Site:
    """`url` is scheme, host, port and base path, without a slash at the end."""

    url: str
    own_url: str
    """Where the server itself listens; the same as `url` unless a proxy stands in front."""
    server: Process

    def href(self, path: str) -> str:
        """The address of a path inside the application."""
        return f"{self.url}{path}"

    def wait_until_ready(self) -> Self:
        """Returns once the server can do its work and a worker has shown up.

        Raises:
            ProcessDiedError: it ended instead.
            NotReadyError: it took longer than a minute.
        """
        deadline = time.monotonic() + _READY_SECONDS_MAX
        while (unready := self._why_unready()) is not None:
            self.server.require_alive()
            if time.monotonic() > deadline:
                raise NotReadyError(self.server.name, _READY_SECONDS_MAX, unready, self.server.log_tail())
            time.sleep(_LOOK_SECONDS)  # the server has no way to call us; bounded by the deadline
        return self

    def _why_unready(self) -> str | None:
        try:
            answer = httpx.get(f"{self.own_url}/readyz", timeout=_ANSWER_SECONDS_MAX, trust_env=False)
            checks = answer.json()["checks"]
        except (httpx.HTTPError, ValueError) as error:
            return f"{type(error).__name__} at /readyz"
        return " ".join(check["message"] for check in checks.values() if not check["ok"]) or None

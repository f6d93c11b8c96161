"""Which Chromium browser tests use: Playwright's own, else the machine's, else Debian's, installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

# Rendering needs no sandbox on a test machine that may run as root, and no service of the vendor's.
LAUNCH_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The headless shell first: a page in it costs a quarter of one in the whole browser without a window.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PACKAGES = ("chromium-headless-shell", "chromium")
_INSTALL_SECONDS_MAX = 600
_INFRASTRUCTURE = 4


class BrowserNotFoundError(Exception):
    """There is no Chromium here, and none can be had; the sentence says what to do."""


def executable_path() -> Path:
    """The Chromium to launch.

    Raises:
        BrowserNotFoundError: neither Playwright nor the machine has one.
    """
    own = _playwrights_own()
    if own is not None:
        return own
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    message = "No Chromium was found. Install one (apt-get install chromium), or run: playwright install chromium"
    raise BrowserNotFoundError(message)


def install() -> Path:
    """Finds a Chromium, or installs Debian's.

    Raises:
        BrowserNotFoundError: there is none, and it could not be installed.
    """
    try:
        return executable_path()
    except BrowserNotFoundError:
        _install_debians()
    return executable_path()


def _playwrights_own() -> Path | None:
    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.exists() else None


def _install_debians() -> None:
    apt = shutil.which("apt-get")
    if apt is None:
        return
    print("Installing Chromium from Debian's packages (once) …", flush=True)  # noqa: T201 - a command that speaks
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}

    def succeeds(*command: str) -> bool:
        whole = [*prefix, apt, *command]
        try:
            done = subprocess.run(
                whole, check=False, capture_output=True, timeout=_INSTALL_SECONDS_MAX, env=environment
            )
        except (subprocess.SubprocessError, OSError):
            return False
        return done.returncode == 0

    if succeeds("update", "-qq"):
        any(succeeds("install", "-y", "-qq", "--no-install-recommends", package) for package in _PACKAGES)


def main() -> int:
    """Prints the path of the Chromium that tests will use; with --install it sees to it that there is one."""
    try:
        path = install() if "--install" in sys.argv[1:] else executable_path()
    except BrowserNotFoundError as error:
        print(f"Set-up stopped: {error}", file=sys.stderr)  # noqa: T201 - a command that speaks
        return _INFRASTRUCTURE
    print(f"Chromium: {path}")  # noqa: T201 - a command that speaks
    return 0


if __name__ == "__main__":
    sys.exit(main())

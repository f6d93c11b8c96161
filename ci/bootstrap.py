"""Brings this folder from a fresh clone to a working `.venv`, with nothing but Python; run by the Makefile and nox."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / ".installed"
DISTRIBUTIONS = ("backend", "ci", "e2e")
PYTHON_MIN = (3, 11)
INSTALL_SECONDS_MAX = 900
INFRASTRUCTURE = 4


class SetupError(Exception):
    """Set-up cannot go on; the sentence says what to do."""


def main() -> int:
    """Sets up what is missing; answers 4 (infrastructure) with one clear sentence where that is impossible."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", action="store_true", help="also see to it that there is a Chromium")
    arguments = parser.parse_args()
    try:
        with _one_at_a_time():
            _require_python()
            if not _is_installed():
                _install()
        if arguments.browser:
            return subprocess.call([_python(), "-m", "testkit.browser", "--install"])
    except SetupError as error:
        print(f"Set-up stopped: {error}", file=sys.stderr)
        return INFRASTRUCTURE
    except OSError as error:
        print(f"Set-up stopped: {error.strerror} ({error.filename}). Mend it, then run again.", file=sys.stderr)
        return INFRASTRUCTURE
    return 0


def _one_at_a_time() -> TextIO:
    """Two commands that start together must not both build the environment; closing the file ends the turn."""
    folder = ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    lock = (folder / ".setup.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _require_python() -> None:
    if sys.version_info < PYTHON_MIN:
        message = f"Python {'.'.join(map(str, PYTHON_MIN))} or newer is needed, this is {sys.version.split()[0]}."
        raise SetupError(message)


def _digest() -> str:
    """What the environment is made of; another digest means another environment."""
    files = [ROOT / "requirements" / "all.txt", *(ROOT / name / "pyproject.toml" for name in DISTRIBUTIONS)]
    parts = [str(ROOT), *(file.read_text(encoding="utf-8") for file in files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_installed() -> bool:
    return STAMP.exists() and STAMP.read_text(encoding="ascii") == _digest()


def _install() -> None:
    print("Setting up .venv (once; a minute on a slow line) …", flush=True)
    STAMP.unlink(missing_ok=True)
    uv = shutil.which("uv")
    if uv and not (ENVIRONMENT / "bin" / "python").exists():
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(ENVIRONMENT)])
    uv = uv or _own_uv()
    install = [uv, "pip", "install", "--quiet"] if uv else [_python(), "-m", "pip", "install", "--quiet"]
    # Compiled once here, or else by every process of every suite where writing bytecode is switched off.
    compiled = ["--compile-bytecode"] if uv else ["--compile"]
    _run([*install, *compiled, "--require-hashes", "-r", str(ROOT / "requirements" / "all.txt")])
    editable = [word for name in DISTRIBUTIONS for word in ("-e", str(ROOT / name))]
    _run([*install, "--no-deps", "--no-build-isolation", *editable])
    STAMP.write_text(_digest(), encoding="ascii")


def _python() -> str:
    return str(ENVIRONMENT / "bin" / "python")


def _own_uv() -> str | None:
    """A uv inside the environment; None where it cannot be had, then pip does the work, only slower."""
    own = ENVIRONMENT / "bin" / "uv"
    if own.exists():
        return str(own)
    if not (ENVIRONMENT / "bin" / "pip").exists():
        try:
            venv.create(ENVIRONMENT, with_pip=True, clear=True)
        except subprocess.CalledProcessError as error:
            message = "this Python cannot make virtual environments; install Debian's python3-venv, or uv."
            raise SetupError(message) from error
    bootstrap = str(ROOT / "requirements" / "bootstrap.txt")
    command = [_python(), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", bootstrap]
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=INSTALL_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return None
    return str(own) if done.returncode == 0 else None


def _run(command: list[str]) -> None:
    environment = {**os.environ, "VIRTUAL_ENV": str(ENVIRONMENT)}
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, env=environment
        )
    except subprocess.TimeoutExpired as error:
        message = f"installing packages took longer than {INSTALL_SECONDS_MAX} s; is the network there?"
        raise SetupError(message) from error
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip()
    if "No space left" in said:
        message = "the disk is full; free a gigabyte and run again."
        raise SetupError(message)
    last = said.splitlines()[-1].strip() if said else f"exit code {done.returncode}"
    message = f"packages could not be installed ({last}). Is the package index reachable? Then run again."
    raise SetupError(message)


if __name__ == "__main__":
    sys.exit(main())

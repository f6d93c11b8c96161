"""Every command of this repository, each a sentence; `nox -l` is the manual."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"  # all sessions share .venv, which ci/bootstrap.py keeps in step with the pins
nox.options.error_on_external_run = False

ROOT = Path(__file__).parent
BIN = ROOT / ".venv" / "bin"
PYTHON_PATHS = ("noxfile.py", "backend", "ci", "e2e", "frontend_tests")
MYPY_PATHS = ("noxfile.py", "backend", "ci/bootstrap.py", "ci/src", "ci/tests", "e2e", "frontend_tests")
# nox by itself kills half a second after Ctrl-C; stopping servers and telling what an interrupted run has takes longer.
STOP_SECONDS_MAX = 60.0


def prepare(session: nox.Session, *, browser: bool = False) -> None:
    """Brings .venv up to date; a few milliseconds when it is."""
    session.run(sys.executable, "ci/bootstrap.py", *(["--browser"] if browser else []), external=True)


def tool(session: nox.Session, name: str, *arguments: str) -> None:
    """Runs a program of the environment."""
    # Without bytecode every process compiles everything anew, and suites start many processes.
    environment = {"PYTHONDONTWRITEBYTECODE": None}
    program = str(BIN / name)
    session.run(program, *arguments, external=True, env=environment, interrupt_timeout=STOP_SECONDS_MAX)


@nox.session
def pr_fast(session: nox.Session) -> None:
    """Prove the P0 money paths in 90 seconds and leave a gated bundle."""
    prepare(session, browser=True)
    tool(session, "confidence", "run", "--tier", "pr-fast", *session.posargs)


@nox.session
def merge_medium(session: nox.Session) -> None:
    """Prove everything that blocks a merge, with coverage of the money code file by file."""
    prepare(session, browser=True)
    tool(session, "confidence", "run", "--tier", "merge-medium", *session.posargs)


@nox.session
def release_heavy(session: nox.Session) -> None:
    """Prove the release candidate, the P0 suites twice."""
    prepare(session, browser=True)
    tool(session, "confidence", "run", "--tier", "release-heavy", *session.posargs)


@nox.session
def pre_release(session: nox.Session) -> None:
    """Do the same as release_heavy, under the name that the checklist uses."""
    release_heavy(session)


@nox.session
def static(session: nox.Session) -> None:
    """Check lint, format, types and who imports whom."""
    prepare(session)
    tool(session, "ruff", "check", *PYTHON_PATHS)
    tool(session, "ruff", "format", "--check", *PYTHON_PATHS)
    tool(session, "mypy", *MYPY_PATHS)
    tool(session, "lint-imports")


@nox.session(name="format")
def format_code(session: nox.Session) -> None:
    """Let the formatter and the safe fixes have their way."""
    prepare(session)
    tool(session, "ruff", "check", "--fix", *PYTHON_PATHS)
    tool(session, "ruff", "format", *PYTHON_PATHS)


@nox.session
def gate_tests(session: nox.Session) -> None:
    """Test the gate with plain pytest, so that a broken gate cannot bless itself."""
    prepare(session)
    tool(session, "pytest", "ci/tests", "-q", "-n", "2", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run one benchmark (`-- NAME`), or name them all (`-- --list`)."""
    prepare(session)
    tool(session, "python", "-m", "backend.benchmarks", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Start the whole product with simulators, print addresses and logins, stop it all with Ctrl-C."""
    prepare(session)
    tool(session, "testkit", "demo", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Take the pictures that README and docs show, from the running product."""
    prepare(session, browser=True)
    tool(session, "testkit", "pictures", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the reference pages that are made from the code: settings, error codes, chart of accounts."""
    prepare(session)
    tool(session, "python", "-m", "backend.tests.architecture.reference_pages")


@nox.session
def lock(session: nox.Session) -> None:
    """Pin every package anew, with hashes and without index addresses."""
    prepare(session)
    compile_ = (
        "pip",
        "compile",
        "--quiet",
        "--upgrade",
        "--universal",
        "--python-version",
        "3.11",
    )
    quiet = ("--no-emit-index-url", "--no-annotate", "--generate-hashes", "--custom-compile-command", "nox -s lock")
    groups = [word for group in ("test", "static", "house") for word in ("--group", f"pyproject.toml:{group}")]
    tool(session, "uv", *compile_, *quiet, "requirements/bootstrap.in", "-o", "requirements/bootstrap.txt")
    sources = ("backend/pyproject.toml", "ci/pyproject.toml", "e2e/pyproject.toml")
    tool(session, "uv", *compile_, *quiet, *sources, *groups, "-o", "requirements/all.txt")


def suite_session(suite: str) -> None:
    """Makes each suite of ci/confidence.toml a session of its own, judged like a tier."""

    def run(session: nox.Session) -> None:
        prepare(session, browser=True)
        tool(session, "confidence", "run", "--suite", suite, *session.posargs)

    run.__doc__ = f"Run the suite {suite} alone and judge its evidence."
    nox.session(name=re.sub(r"\W", "_", suite))(run)


for name in tomllib.loads((ROOT / "ci" / "confidence.toml").read_text(encoding="utf-8")).get("suites", {}):
    if name != "static":  # that suite runs the session above
        suite_session(name)

"""Indexes traces and screenshots by test, redacts traces, and says which command opens each."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confidence.evidence.artifacts import kind_of
from confidence.evidence.documents import read_document, write_document
from confidence.evidence.files import sha256_of
from confidence.evidence.redaction import UnsafeArchiveError, redact_trace
from confidence.model.evidence import AttachedFile, BrowserFile, EvidenceProblem, Flaw, SuiteEvidence
from confidence.model.shapes import to_json

INDEX = "traces/index.json"
_FOLDERS = ("traces", "screenshots")


def index_browser_files(
    run_dir: Path, suites: Sequence[SuiteEvidence], where: str
) -> tuple[tuple[BrowserFile, ...], tuple[EvidenceProblem, ...]]:
    """Every file under ``traces/`` and ``screenshots/``. A trace that cannot be read safely is a problem, by its name.

    Redaction is remembered by content: a bundle that is judged again is not rewritten.
    """
    owners = {item.path: (suite.name, item) for suite in suites for item in suite.attachments}
    known = _already_redacted(run_dir)
    entries: list[BrowserFile] = []
    digests: dict[str, dict[str, Any]] = {}
    problems: list[EvidenceProblem] = []
    for path in _files(run_dir):
        relative = path.relative_to(run_dir).as_posix()
        try:
            redactions = _redacted(path, relative, known) if path.suffix == ".zip" else 0
        except UnsafeArchiveError as unsafe:
            problems.append(EvidenceProblem(Flaw.CORRUPT, relative, f"{relative}: {unsafe}"))
            continue
        if path.suffix == ".zip":
            digests[relative] = {"sha256": sha256_of(path), "redactions": redactions}
        entries.append(_entry(where, relative, owners.get(relative), redactions))
    problems.extend(_absent(run_dir, suites))
    if entries:
        write_document(run_dir / INDEX, {"files": to_json(entries), "redacted": digests})
    return tuple(entries), tuple(problems)


def _files(run_dir: Path) -> list[Path]:
    found = [path for folder in _FOLDERS for path in (run_dir / folder).rglob("*")]
    return sorted(path for path in found if path.is_file() and not path.is_symlink() and path != run_dir / INDEX)


def _already_redacted(run_dir: Path) -> dict[str, dict[str, Any]]:
    if not (run_dir / INDEX).is_file():
        return {}
    kept, _ = read_document(run_dir / INDEX, INDEX, lambda value: dict(value["redacted"]))
    return kept or {}


def _redacted(path: Path, relative: str, known: dict[str, dict[str, Any]]) -> int:
    before = known.get(relative)
    if before is not None and before.get("sha256") == sha256_of(path):
        return int(before.get("redactions", 0))
    return redact_trace(path)


def _entry(where: str, relative: str, owner: tuple[str, AttachedFile] | None, redactions: int) -> BrowserFile:
    suite, attached = owner or ("", None)
    kind = attached.kind if attached else kind_of(relative)
    place = shlex.quote(f"{where}/{relative}")
    opens = f"playwright show-trace {place}" if relative.endswith(".zip") else f"xdg-open {place}"
    return BrowserFile(
        path=relative,
        kind=kind,
        suite=suite,
        case_id=attached.case_id if attached else "",
        attempt=attached.attempt if attached else 0,
        open_command=opens,
        redactions=redactions,
    )


def _absent(run_dir: Path, suites: Sequence[SuiteEvidence]) -> list[EvidenceProblem]:
    """Files that a test announced and that are not there, or that would lie outside the bundle."""
    problems = []
    for suite in suites:
        for item in suite.attachments:
            if not is_inside(item.path):
                sentence = f"{item.case_id} names a file outside the bundle: {item.path[:120]}"
                problems.append(EvidenceProblem(Flaw.FOREIGN, item.path, sentence))
            elif not (run_dir / item.path).is_file():
                sentence = f"{item.path}, the {item.kind} of {item.case_id}, is not there"
                problems.append(EvidenceProblem(Flaw.MISSING, item.path, sentence))
    return problems


def is_inside(relative: str) -> bool:
    """Whether a path from an event stays inside the run directory."""
    parts = relative.replace("\\", "/").split("/")
    return bool(relative) and not relative.startswith("/") and ".." not in parts and ":" not in parts[0]

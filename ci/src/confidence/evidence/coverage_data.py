"""Accounts for every coverage data file before anything is combined: a truncated or absent one means no verdict."""

import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from confidence.model.evidence import EvidenceProblem, Flaw, SuiteEvidence
from confidence.model.plan import EvidenceKind

_PID = re.compile(r"\.pid(\d+)\.")
_SQLITE_MAGIC = b"SQLite format 3\x00"


def data_files(run_dir: Path) -> tuple[Path, ...]:
    """The data files of all processes of the run, dotfiles as they are."""
    return tuple(sorted(path for path in (run_dir / "coverage" / "data").glob(".coverage*") if path.is_file()))


def account_for(suites: Sequence[SuiteEvidence], files: Sequence[Path]) -> tuple[EvidenceProblem, ...]:
    """What is missing or broken. Every pytest process said its process id; each must have left a whole file.

    Servers and workers that a suite starts leave files of their own, which are checked when they are there: one that
    is lost can only lower the figures, never raise them.
    """
    problems = [problem for path in files if (problem := flaw_of(path))]
    for suite in suites:
        if not suite.spec.coverage or suite.spec.evidence is not EvidenceKind.EVENTS:
            continue
        prefix = f".coverage.{suite.name}."
        own = [path.name for path in files if path.name.startswith(prefix)]
        pids = Counter(int(found.group(1)) for name in own if (found := _PID.search(name)))
        problems.extend(_absent(suite, pids, prefix))
    return tuple(problems)


def _absent(suite: SuiteEvidence, pids: Counter[int], prefix: str) -> list[EvidenceProblem]:
    absent = []
    if not suite.sessions:
        sentence = f"suite {suite.name} measures coverage, and none of its processes reported"
        absent.append(EvidenceProblem(Flaw.MISSING, f"coverage/data/{prefix}*", sentence))
    for session in suite.sessions:
        if pids[session.pid] == 0:
            source = f"coverage/data/{prefix}*.pid{session.pid}.*"
            sentence = f"process {session.process} of suite {suite.name} left no coverage data file"
            absent.append(EvidenceProblem(Flaw.MISSING, source, sentence))
        pids[session.pid] -= 1
    return absent


def flaw_of(path: Path) -> EvidenceProblem | None:
    """What is wrong with one data file: empty, cut short, damaged, or measured without branches."""
    source = f"coverage/data/{path.name}"
    size = path.stat().st_size
    if size == 0:
        return EvidenceProblem(Flaw.EMPTY, source, f"{source} is empty")
    with path.open("rb") as opened:
        header = opened.read(100)
    if len(header) < 100 or not header.startswith(_SQLITE_MAGIC):  # noqa: PLR2004 - the length of SQLite's own header
        return EvidenceProblem(Flaw.CORRUPT, source, f"{source} is no coverage data file")
    if size < _declared_bytes(header):
        sentence = f"{source} holds {size} of {_declared_bytes(header)} bytes"
        return EvidenceProblem(Flaw.TRUNCATED, source, sentence)
    return _flaw_inside(path, source)


def _declared_bytes(header: bytes) -> int:
    """SQLite's header gives its page size (where 1 stands for 65 536) and its number of pages."""
    page_bytes = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    return (65_536 if page_bytes == 1 else page_bytes) * pages


def _flaw_inside(path: Path, source: str) -> EvidenceProblem | None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            (state,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            meta = dict(database.execute("SELECT key, value FROM meta"))
    except sqlite3.DatabaseError as damaged:
        return EvidenceProblem(Flaw.CORRUPT, source, f"{source} cannot be read: {damaged}")
    if state != "ok":
        return EvidenceProblem(Flaw.CORRUPT, source, f"{source} is damaged: {state}")
    if meta.get("has_arcs") not in {"1", "True", None}:
        return EvidenceProblem(Flaw.FOREIGN, source, f"{source} was measured without branches")
    return None

"""The artifact index: every file of the bundle with its digest, and every required one that is not there."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from confidence.evidence.files import bundle_files, sha256_of
from confidence.model.evidence import ArtifactEntry, CoverageEvidence, SuiteEvidence
from confidence.model.plan import EvidenceKind, Plan

_KINDS = {
    "events": "events",
    "logs": "log",
    "junit": "junit",
    "traces": "trace",
    "screenshots": "screenshot",
    "coverage": "coverage",
    "server": "server_log",
    "suites": "ending",
    "baseline": "baseline",
}
# These are written from the evidence after it has been judged; an earlier judgement's are not evidence.
DERIVED = frozenset({"summary.json", "summary.md", "report.html"})


def required_globs(
    plan: Plan, suites: Sequence[SuiteEvidence], coverage: CoverageEvidence | None, *, merged: bool
) -> tuple[str, ...]:
    """What must be in the bundle: the plan's own list, and what every run of such a plan leaves."""
    globs = ["plan.json", "run.json"]
    if merged:
        globs.append("merge.json")
    if plan.suites:
        globs.append("junit/merged.xml")
    if coverage is not None:
        globs.extend(["coverage/coverage.xml", "coverage/coverage.lcov", "coverage/html/index.html"])
        globs.append(coverage.json_path or "coverage/*.json")
    for suite in suites:
        globs.extend([f"suites/{suite.name}.json", f"junit/{suite.name}.xml", *suite.spec.required_artifacts])
        if suite.spec.evidence is EvidenceKind.JUNIT:
            globs.append(f"junit/foreign/{suite.name}/*.xml")
        else:
            globs.append(f"events/{suite.name}/*.jsonl")
    return tuple(dict.fromkeys(globs))


def index_artifacts(run_dir: Path, required: Iterable[str], vanished: Iterable[str]) -> tuple[ArtifactEntry, ...]:
    """All files, then one entry for each required glob that nothing but empty files matches, and each vanished file."""
    globs = tuple(required)
    exact = frozenset(globs)
    patterns = [glob for glob in globs if any(char in glob for char in "*?[")]
    files = ((relative, path) for relative, path in bundle_files(run_dir) if relative not in DERIVED)
    found = [_entry(relative, path, exact, patterns) for relative, path in files]
    present = {entry.path for entry in found if entry.bytes}
    absent = [glob for glob in globs if not _matches(glob, present)]
    gone = dict.fromkeys([*absent, *vanished])
    found = [entry for entry in found if entry.path not in gone]
    return (*found, *(ArtifactEntry(path, kind_of(path), "", 0, required=True, exists=False) for path in gone))


def _entry(relative: str, path: Path, exact: frozenset[str], patterns: Sequence[str]) -> ArtifactEntry:
    required = relative in exact or any(_fits(relative, pattern) for pattern in patterns)
    return ArtifactEntry(
        path=relative,
        kind=kind_of(relative),
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        required=required,
        exists=True,
    )


def _matches(glob: str, present: set[str]) -> bool:
    return glob in present or any(_fits(path, glob) for path in present)


def _fits(path: str, glob: str) -> bool:
    """``**/`` also stands for no folder at all."""
    return fnmatchcase(path, glob) or fnmatchcase(path, glob.replace("**/", ""))


def kind_of(relative: str) -> str:
    """What kind of file it is, by the folder it stands in."""
    top, slash, _ = relative.partition("/")
    return _KINDS.get(top, "other") if slash else "document"

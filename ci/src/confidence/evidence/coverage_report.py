"""Combines the coverage of a run and writes it as JSON, XML, LCOV and HTML, statements and branches apart."""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import coverage
from coverage.exceptions import CoverageException

from confidence.evidence.coverage_data import account_for, data_files
from confidence.evidence.documents import read_document, write_document
from confidence.model.evidence import CoverageEvidence, EvidenceProblem, FileCoverage, Flaw, SuiteEvidence
from confidence.model.floors import COVERAGE_GATE
from confidence.model.plan import Plan
from confidence.model.shapes import MalformedRecordError

DEFAULT_JSON = "coverage/coverage.json"
_INPUTS = "coverage/inputs.json"


def read_coverage(run_dir: Path, plan: Plan, suites: Sequence[SuiteEvidence], root: Path) -> CoverageEvidence | None:
    """The run's coverage; nothing where no suite measures any.

    A bundle that was combined before is not combined again as long as its data files and its JSON are byte for byte
    those of that time, so that it can be judged where the sources are not at hand.
    """
    measuring = tuple(suite.name for suite in suites if suite.spec.coverage)
    if not measuring:
        return None
    files = data_files(run_dir)
    names = tuple(path.relative_to(run_dir).as_posix() for path in files)
    problems = account_for(suites, files)
    if problems:
        return CoverageEvidence(measuring, names, problems=problems)
    json_path = json_path_of(plan)
    try:
        inputs = {path.name: _digest(path) for path in files}
        if not _is_combined(run_dir, inputs, json_path):
            where, sources = run_dir.absolute(), [path.absolute() for path in files]
            with contextlib.chdir(root):  # the data name their sources relative to the repository
                _combine(where, sources, json_path)
            record = {"data": inputs, "json": _digest(run_dir / json_path), "gated": gated_files(plan, root)}
            write_document(run_dir / _INPUTS, record)
    except (CoverageException, OSError) as failed:
        problem = EvidenceProblem(Flaw.CORRUPT, "coverage", f"coverage could not be combined: {failed}")
        return CoverageEvidence(measuring, names, problems=(problem,))
    return _read(run_dir, measuring, names, json_path)


def json_path_of(plan: Plan) -> str:
    """Where the combined JSON goes: the coverage gate's settings name it."""
    return next((str(gate.settings["json"]) for gate in plan.gates if "json" in gate.settings), DEFAULT_JSON)


def gated_files(plan: Plan, root: Path) -> dict[str, list[str]]:
    """For each glob of the coverage gate the source files that it matches today, relative to the repository."""
    classes: Mapping[str, Any] = next(
        (gate.settings.get("classes", {}) for gate in plan.gates if gate.name == COVERAGE_GATE), {}
    )
    globs = [glob for settings in classes.values() for glob in settings.get("files", ())]
    return {
        glob: sorted(path.relative_to(root).as_posix() for path in root.glob(glob) if path.is_file()) for glob in globs
    }


def read_gated_files(run_dir: Path, plan: Plan, root: Path) -> Mapping[str, tuple[str, ...]]:
    """The same, as it was when the coverage was combined; else as it is now."""
    if not (run_dir / _INPUTS).is_file():
        return {glob: tuple(files) for glob, files in gated_files(plan, root).items()}
    kept, _ = read_document(run_dir / _INPUTS, _INPUTS, lambda value: dict(value["gated"]))
    return {glob: tuple(files) for glob, files in (kept or {}).items()}


def _is_combined(run_dir: Path, inputs: dict[str, str], json_path: str) -> bool:
    if not (run_dir / _INPUTS).is_file() or not (run_dir / json_path).is_file():
        return False
    kept, _ = read_document(run_dir / _INPUTS, _INPUTS, dict)
    return kept is not None and kept.get("data") == inputs and kept.get("json") == _digest(run_dir / json_path)


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _combine(run_dir: Path, files: Sequence[Path], json_path: str) -> None:
    """One combined file from all data files, which stay; the house's coverage settings come from the repository.

    Raises:
        CoverageException: the data do not fit together, or a measured source is not there.
    """
    folder = run_dir / "coverage"
    combined = folder / "combined.sqlite"
    combined.unlink(missing_ok=True)
    measured = coverage.Coverage(data_file=str(combined))
    measured.combine([str(path) for path in files], strict=True, keep=True)
    measured.save()
    measured.json_report(outfile=str(run_dir / json_path), show_contexts=False)
    measured.xml_report(outfile=str(folder / "coverage.xml"))
    measured.lcov_report(outfile=str(folder / "coverage.lcov"))
    measured.html_report(directory=str(folder / "html"))


def _read(run_dir: Path, measuring: tuple[str, ...], names: tuple[str, ...], json_path: str) -> CoverageEvidence:
    files, problem = read_document(run_dir / json_path, json_path, _files)
    if problem is None and not files:
        problem = EvidenceProblem(Flaw.EMPTY, json_path, f"{json_path} measured no file")
    problems = (problem,) if problem else ()
    return CoverageEvidence(measuring, names, files or {}, problems, json_path)


def _files(value: Any) -> dict[str, FileCoverage]:
    """Read coverage's own JSON.

    Raises:
        MalformedRecordError: a figure that must be there is not.
    """
    try:
        return {path: _file(path, entry) for path, entry in value["files"].items()}
    except (KeyError, TypeError, AttributeError) as absent:
        raise MalformedRecordError(f"no {absent} in {json.dumps(value)[:80]}") from absent


def _file(path: str, entry: Any) -> FileCoverage:
    summary = entry["summary"]
    return FileCoverage(
        path=path,
        statements=int(summary["num_statements"]),
        statements_covered=int(summary["covered_lines"]),
        branches=int(summary["num_branches"]),
        branches_covered=int(summary["covered_branches"]),
        missing_lines=tuple(entry["missing_lines"]),
    )

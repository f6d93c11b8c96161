"""Coverage floors: which source files are gated, and what each has to reach, statements and branches apart."""

from collections.abc import Iterator
from dataclasses import dataclass

from confidence.model.evidence import Evidence, FileCoverage
from confidence.model.plan import GateSpec

COVERAGE_GATE = "coverage-per-file"
PERCENT_MAX = 100.0


@dataclass(frozen=True, slots=True)
class FileFloor:
    """One gated file with its class, its floors in percent, and what was measured, if anything was."""

    path: str
    class_name: str
    line_floor: float
    branch_floor: float
    measured: FileCoverage | None

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What is below its floor, as sentences; never an average, never one figure for both."""
        if self.measured is None:
            return (f"{self.path} is not in the coverage data at all (0 %)",)
        found = []
        if _is_below(self.measured.statements_covered, self.measured.statements, self.line_floor):
            found.append(f"{self.path} lines {self.measured.line_percent:.2f} % < {self.line_floor:g} %")
        if _is_below(self.measured.branches_covered, self.measured.branches, self.branch_floor):
            found.append(f"{self.path} branches {self.measured.branch_percent:.2f} % < {self.branch_floor:g} %")
        return tuple(found)


def _is_below(covered: int, total: int, floor: float) -> bool:
    return covered * PERCENT_MAX < floor * total


def file_floors(evidence: Evidence, spec: GateSpec) -> Iterator[FileFloor]:
    """Every gated file once for each class that claims it, worst off first."""
    measured = evidence.coverage.files if evidence.coverage else {}
    for name, settings in spec.settings.get("classes", {}).items():
        paths = {path for glob in settings.get("files", ()) for path in evidence.gated_files.get(glob, ())}
        for path in sorted(paths):
            yield FileFloor(
                path=path,
                class_name=name,
                line_floor=float(settings["line"]),
                branch_floor=float(settings["branch"]),
                measured=measured.get(path),
            )

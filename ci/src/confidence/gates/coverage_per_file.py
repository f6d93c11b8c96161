"""Gate: each gated file reaches its class's floors, statements and branches separately."""

from collections.abc import Mapping
from typing import Any

from confidence.gates.base import named
from confidence.model.evidence import CoverageEvidence, Evidence
from confidence.model.floors import COVERAGE_GATE, file_floors
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict


class CoveragePerFile:
    """Settings: ``classes``, each with ``files`` (globs), ``line`` and ``branch`` (percent)."""

    name = COVERAGE_GATE

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Violated by a file below a floor, a gated file without data, or a glob that matches no file."""
        classes: Mapping[str, Any] = spec.settings.get("classes", {})
        expected = _expected(classes)
        coverage = evidence.coverage
        if not classes or coverage is None or not coverage.is_complete:
            return self._no_evidence(evidence, expected, coverage)
        barren = [glob for glob in _globs(classes) if not evidence.gated_files.get(glob)]
        floors = tuple(file_floors(evidence, spec))
        short = [sentence for floor in floors for sentence in floor.shortfalls]
        short.extend(f"{glob} matches no file" for glob in barren)
        weakened = any(override.weakens and "COVERAGE" in override.name.upper() for override in evidence.plan.overrides)
        if short:
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED,
                why=f"{named(short)}.",
                expected=expected,
                actual=f"{len(short)} shortfalls in {len(floors)} files",
                next_command=f"xdg-open {evidence.where}/coverage/html/index.html",
                weakened=weakened,
            )
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why="Every gated file reaches its floors by itself.",
            expected=expected,
            actual=f"{len(floors)} files at or above both floors",
            weakened=weakened,
        )

    def _no_evidence(self, evidence: Evidence, expected: str, coverage: CoverageEvidence | None) -> Verdict:
        flaws = coverage.problems if coverage else ()
        reason = ". ".join(flaw.sentence for flaw in flaws[:5]) or "No suite of this run measured coverage"
        return Verdict(
            name=self.name,
            outcome=Outcome.NO_EVIDENCE,
            why=f"{reason}.",
            expected=expected,
            actual=named([f"{flaw.source} ({flaw.flaw})" for flaw in flaws]) or "no coverage",
            next_command=f"confidence run --tier {evidence.plan.tier}",
        )


def _globs(classes: Mapping[str, Any]) -> list[str]:
    return [glob for settings in classes.values() for glob in settings.get("files", ())]


def _expected(classes: Mapping[str, Any]) -> str:
    floors = [
        f"{name}: lines ≥ {settings['line']:g} %, branches ≥ {settings['branch']:g} %"
        for name, settings in classes.items()
    ]
    return "; ".join(floors) + " for each file" if floors else "floors for each gated file"

"""Why tests were skipped, said once for each reason: what was not proved must not hide in a number."""

from collections import Counter
from dataclasses import dataclass

from confidence.model.evidence import Evidence
from confidence.model.records import CaseOutcome

REASONS_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class SkipReason:
    """A reason, with how many tests of which suites it kept from running."""

    text: str
    tests: int
    suites: tuple[str, ...]


def reasons_of_skips(evidence: Evidence) -> list[SkipReason]:
    """The reasons, that of the most tests first."""
    tests: Counter[str] = Counter()
    suites: dict[str, list[str]] = {}
    for suite in evidence.suites:
        for case in suite.cases:
            if case.outcome is CaseOutcome.SKIPPED:
                text = case.skip_reason.removeprefix("Skipped: ") or "no reason was given"
                tests[text] += 1
                suites.setdefault(text, []).append(suite.name)
    return [SkipReason(text, count, tuple(sorted(set(suites[text])))) for text, count in tests.most_common()]

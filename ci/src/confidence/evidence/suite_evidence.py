"""Brings together what a suite's processes said, what its watcher saw, and what must agree between the two."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from confidence.evidence.documents import read_document
from confidence.evidence.folding import fold
from confidence.evidence.foreign import read_foreign
from confidence.evidence.journal import Identity, Journal, read_journals, suites_with_events
from confidence.model.endings import SuiteEnding
from confidence.model.evidence import EvidenceProblem, Flaw, SuiteEvidence
from confidence.model.plan import EvidenceKind, Plan, SuiteSpec


def read_suites(
    run_dir: Path, plan: Plan, identity: Identity
) -> tuple[tuple[SuiteEvidence, ...], tuple[EvidenceProblem, ...]]:
    """The evidence of every planned suite, in the plan's order, and whatever cannot be believed."""
    names = {spec.name for spec in plan.suites}
    endings, problems = _endings(run_dir, plan, names)
    problems.extend(_stranger(name) for name in suites_with_events(run_dir) if name not in names)
    suites = []
    for spec in plan.suites:
        # One suite's lines at a time: what is folded needs less room than what was read.
        suite, found = _read_suite(run_dir, plan, spec, identity, endings.get(spec.name, ()))
        suites.append(suite)
        problems.extend(found)
    return tuple(suites), tuple(problems)


def _stranger(name: str) -> EvidenceProblem:
    source = f"events/{name}"
    return EvidenceProblem(Flaw.FOREIGN, source, f"{source} belongs to a suite that the plan does not have")


def _endings(
    run_dir: Path, plan: Plan, names: set[str]
) -> tuple[Mapping[str, tuple[SuiteEnding, ...]], list[EvidenceProblem]]:
    found: dict[str, tuple[SuiteEnding, ...]] = {}
    problems: list[EvidenceProblem] = []
    for path in sorted((run_dir / "suites").glob("*.json")):
        source = path.relative_to(run_dir).as_posix()
        ending, problem = read_document(path, source, SuiteEnding.from_json)
        if ending is None:
            problems.extend([problem] if problem else [])
        elif ending.suite not in names:
            sentence = f"{source} tells of suite {ending.suite}, which the plan does not have"
            problems.append(EvidenceProblem(Flaw.FOREIGN, source, sentence))
        elif ending.plan_digest != plan.plan_digest:
            problems.append(EvidenceProblem(Flaw.STALE, source, f"{source} was written under another plan"))
        else:
            found[ending.suite] = (*found.get(ending.suite, ()), ending)
    return found, problems


def _read_suite(
    run_dir: Path, plan: Plan, spec: SuiteSpec, identity: Identity, endings: tuple[SuiteEnding, ...]
) -> tuple[SuiteEvidence, tuple[EvidenceProblem, ...]]:
    journals: list[Journal] = []
    if spec.evidence is EvidenceKind.JUNIT:
        suite, problems = read_foreign(run_dir, plan, spec)
    else:
        suite, problems = fold(spec, _noted(read_journals(run_dir, spec.name, identity), journals))
    suite = dataclasses.replace(suite, endings=endings)
    flaws = [problem for journal in journals for problem in journal.problems]
    return suite, (*flaws, *problems, *_cut_off(suite, journals), *_without_farewell(suite))


def _noted(journals: Iterable[Journal], kept: list[Journal]) -> Iterator[Journal]:
    """The journals one by one; kept without their events, which are many and are not needed twice."""
    for journal in journals:
        kept.append(dataclasses.replace(journal, events=()))
        yield journal


def _is_clean(suite: SuiteEvidence) -> bool:
    """Whether the watcher saw the suite end as if nothing were wrong."""
    return suite.ended_by_itself and all(ending.exit_code == 0 for ending in suite.endings)


def _cut_off(suite: SuiteEvidence, journals: Sequence[Journal]) -> list[EvidenceProblem]:
    """A half-written last line is what a kill leaves; after a clean end it means that the file was shortened."""
    was_killed = not _is_clean(suite)
    return [
        EvidenceProblem(
            Flaw.TRUNCATED, journal.path, f"the last line of {journal.path} is not whole", is_harmless=was_killed
        )
        for journal in journals
        if journal.is_cut_off
    ]


def _without_farewell(suite: SuiteEvidence) -> list[EvidenceProblem]:
    """A process that left without its last word, although its suite claims to have ended well (``os._exit(0)``)."""
    if not _is_clean(suite):
        return []
    return [
        EvidenceProblem(
            Flaw.TRUNCATED,
            f"events/{suite.name}",
            f"process {session.process} of suite {suite.name} left with exit code 0 and without ending its session",
        )
        for session in suite.sessions
        if session.finished_at is None
    ]

"""Joins the bundles of suites or shards that ran apart, and proves that they belong together."""

import dataclasses
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confidence.evidence.documents import read_document, write_document
from confidence.evidence.files import sha256_of
from confidence.evidence.journal import started_ids, suites_with_events
from confidence.evidence.manifest import check_manifest
from confidence.evidence.merge_record import MERGE_FILE, MergeRecord
from confidence.model.endings import Ending, RunEnding, SuiteEnding
from confidence.model.evidence import EvidenceProblem, Flaw
from confidence.model.plan import Plan

_FOLDERS = ("events", "logs", "traces", "screenshots", "server", "coverage/data", "junit/foreign", "baseline")
_RENAMED = frozenset({"events", "logs"})
_INDEX_NAME = "index.json"


class MergeTargetError(ValueError):
    """The place where the merged bundle should go is taken."""


@dataclass(frozen=True, slots=True)
class _Bundle:
    """One bundle that can be read, with the ids that it executed."""

    path: Path
    plan: Plan
    run: RunEnding | None
    executed: frozenset[tuple[str, str]]


@dataclass(slots=True)
class _Join:
    """The merge so far."""

    bundles: list[_Bundle] = field(default_factory=list)
    problems: list[EvidenceProblem] = field(default_factory=list)
    owners: dict[tuple[str, str], str] = field(default_factory=dict)

    def admit(self, path: Path) -> None:
        """Take one bundle in, or say by its name why not; of two that executed one test, the first stays."""
        bundle, problems = _open(path)
        self.problems.extend(problems)
        if bundle is None:
            return
        refusal = self._refusal(bundle)
        if refusal is not None:
            self.problems.append(refusal)
            return
        self.bundles.append(bundle)
        self.owners.update(dict.fromkeys(bundle.executed, path.name))

    def _refusal(self, bundle: _Bundle) -> EvidenceProblem | None:
        name = bundle.path.name
        if not self.bundles:
            return None
        first = self.bundles[0].plan
        if bundle.plan.provenance.commit != first.provenance.commit:
            sentence = f"{name} is of commit {bundle.plan.provenance.commit[:12]}, not {first.provenance.commit[:12]}"
            return EvidenceProblem(Flaw.FOREIGN, name, sentence)
        if bundle.plan.plan_digest != first.plan_digest:
            sentence = f"{name} ran under plan {bundle.plan.plan_digest[:12]}, not {first.plan_digest[:12]}"
            return EvidenceProblem(Flaw.FOREIGN, name, sentence)
        if any(other.plan.run_id == bundle.plan.run_id for other in self.bundles):
            return EvidenceProblem(Flaw.DUPLICATED, name, f"{name} is run {bundle.plan.run_id} a second time")
        if shared := sorted(bundle.executed & self.owners.keys()):
            suite, case_id = shared[0]
            sentence = (
                f"{name} executed {len(shared)} tests that {self.owners[shared[0]]} executed too, "
                f"such as {case_id} of {suite}"
            )
            return EvidenceProblem(Flaw.DUPLICATED, name, sentence)
        return None


def merge(dirs: Sequence[Path], out: Path) -> Path:
    """Join bundles into ``out``, a new run directory, which is then assembled and judged like any other.

    A bundle that is missing, empty, truncated, foreign or a duplicate is named in ``merge.json``, which forbids a
    green verdict; the others are joined all the same. Time and memory grow with the number of files, not of pairs.

    Raises:
        MergeTargetError: ``out`` exists and is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise MergeTargetError(f"{out} is not empty: a merged bundle needs a fresh directory")
    out.mkdir(parents=True, exist_ok=True)
    join = _Join()
    for path in dirs:
        join.admit(path)
    for number, bundle in enumerate(join.bundles, start=1):
        _copy_files(bundle, out, number, join.problems)
        _copy_endings(bundle, out, number, join.problems)
    record = MergeRecord(
        sources=tuple(path.name for path in dirs),
        run_ids=tuple(bundle.plan.run_id for bundle in join.bundles),
        problems=tuple(join.problems),
    )
    write_document(out / MERGE_FILE, record.to_json())
    if join.bundles:
        plan = dataclasses.replace(join.bundles[0].plan, run_id=out.name)
        write_document(out / "plan.json", plan.to_json())
        write_document(out / "run.json", _joined_run(out.name, join.bundles).to_json())
    return out


def _open(path: Path) -> tuple[_Bundle | None, list[EvidenceProblem]]:
    name = path.name
    if not path.is_dir():
        return None, [EvidenceProblem(Flaw.MISSING, name, f"bundle {name} is not there")]
    if not any(path.iterdir()):
        return None, [EvidenceProblem(Flaw.EMPTY, name, f"bundle {name} is empty")]
    plan, problem = read_document(path / "plan.json", f"{name}/plan.json", Plan.from_json)
    if plan is None:
        return None, [problem] if problem else []
    if plan.computed_digest() != plan.plan_digest:
        sentence = f"the plan of {name} was changed after it was frozen"
        return None, [EvidenceProblem(Flaw.CORRUPT, name, sentence)]
    run, problem = read_document(path / "run.json", f"{name}/run.json", RunEnding.from_json)
    problems = [problem] if problem else []
    problems.extend(
        EvidenceProblem(flaw.flaw, f"{name}/{flaw.source}", f"bundle {name}: {flaw.sentence}")
        for flaw in check_manifest(path).problems
    )
    return _Bundle(path, plan, run, _executed(path)), problems


def _executed(path: Path) -> frozenset[tuple[str, str]]:
    """(suite, id) of every test that a process of this bundle started; what is unreadable is named later."""
    return frozenset((suite, case_id) for suite in suites_with_events(path) for case_id in started_ids(path, suite))


def _copy_files(bundle: _Bundle, out: Path, number: int, problems: list[EvidenceProblem]) -> None:
    for folder in _FOLDERS:
        for source in sorted((bundle.path / folder).rglob("*")):
            if not source.is_file() or source.is_symlink() or source.name == _INDEX_NAME:
                continue
            relative = source.relative_to(bundle.path)
            target = out / relative
            if target.exists() and folder in _RENAMED:
                target = target.with_name(f"{target.stem}.{number}{target.suffix}")
            if not target.exists():
                _place(source, target)
            elif sha256_of(target) != sha256_of(source):
                sentence = f"{relative} is in {bundle.path.name} and, with other content, in a bundle before it"
                problems.append(EvidenceProblem(Flaw.DUPLICATED, relative.as_posix(), sentence))


def _place(source: Path, target: Path) -> None:
    """A hard link where the file system can; nothing in a bundle is written in place, so the source stays as it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _copy_endings(bundle: _Bundle, out: Path, number: int, problems: list[EvidenceProblem]) -> None:
    """An ending without a start says only that the suite ran elsewhere; the log moves with its ending."""
    for source in sorted((bundle.path / "suites").glob("*.json")):
        name = f"{bundle.path.name}/suites/{source.name}"
        ending, problem = read_document(source, name, SuiteEnding.from_json)
        if ending is None:
            problems.extend([problem] if problem else [])
            continue
        if ending.ending is Ending.NOT_STARTED:
            continue
        target = out / "suites" / source.name
        if target.exists():
            target = target.with_name(f"{source.stem}.{number}.json")
            ending = dataclasses.replace(
                ending, log=_renamed(ending.log, number), stacks=_renamed(ending.stacks, number)
            )
        write_document(target, ending.to_json())


def _renamed(relative: str, number: int) -> str:
    stem, dot, suffix = relative.rpartition(".")
    return f"{stem}.{number}{dot}{suffix}" if relative else ""


def _joined_run(run_id: str, bundles: Sequence[_Bundle]) -> RunEnding:
    """The bundles ran side by side: the longest one's time counts, and any interruption."""
    runs = [bundle.run for bundle in bundles if bundle.run is not None]
    plan = bundles[0].plan
    digests = {run.tracked_digest for run in runs} - {plan.tracked_digest}
    return RunEnding(
        run_id=run_id,
        started_at=min((run.started_at for run in runs), default=plan.created_at),
        finished_at=max((run.finished_at for run in runs), default=plan.created_at),
        seconds=max((run.seconds for run in runs), default=0.0),
        interrupted=any(run.interrupted for run in runs),
        sentence=f"merged from {len(bundles)} bundles",
        tracked_digest=min(digests, default=plan.tracked_digest),
        tracked_changes=tuple(dict.fromkeys(path for run in runs for path in run.tracked_changes)),
        infrastructure=any(run.infrastructure for run in runs),
    )

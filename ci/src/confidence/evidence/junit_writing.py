"""Writes JUnit XML from records: counts are recomputed, every name is made safe, one test is one element."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from confidence.model.evidence import SuiteEvidence
from confidence.model.records import Attempt, CaseOutcome, CaseRecord, Problem, ProblemKind

TEXT_CHARS_MAX = 64_000

# XML 1.0 has no way at all to write these characters, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_IN_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_IN_ATTRIBUTE = {**_IN_TEXT, **str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})}


def xml_safe(text: str) -> str:
    r"""The text with every character that XML cannot carry spelled out (``\x1b``), shortened to a readable size."""
    if len(text) > TEXT_CHARS_MAX:
        text = text[: TEXT_CHARS_MAX // 2] + "\n… shortened …\n" + text[-TEXT_CHARS_MAX // 2 :]
    if text.isascii() and text.isprintable():
        return text
    return _UNWRITABLE.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


@dataclass(slots=True)
class _Tally:
    """Counts of elements, as readers of JUnit count them."""

    tests: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def attributes(self) -> str:
        return (
            f'tests="{self.tests}" failures="{self.failures}" errors="{self.errors}" '
            f'skipped="{self.skipped}" time="{self.seconds:.3f}"'
        )

    def add(self, other: "_Tally") -> None:
        self.tests += other.tests
        self.failures += other.failures
        self.errors += other.errors
        self.skipped += other.skipped
        self.seconds = max(self.seconds, other.seconds)


def write_junit(run_dir: Path, run_id: str, suites: Sequence[SuiteEvidence]) -> tuple[str, ...]:
    """Write ``junit/<suite>.xml`` for each suite that has tests and ``junit/merged.xml``; the paths, relative.

    Each test is spelled once and written twice.
    """
    reporting = [(suite, _tally(suite)) for suite in suites if suite.cases]
    if not reporting:
        return ()
    (run_dir / "junit").mkdir(exist_ok=True)
    whole = _Tally()
    for _, tally in reporting:
        whole.add(tally)
    written = [f"junit/{suite.name}.xml" for suite, _ in reporting]
    with _document(run_dir / "junit" / "merged.xml", run_id, whole) as merged:
        for (suite, tally), relative in zip(reporting, written, strict=True):
            with _document(run_dir / relative, run_id, tally) as own:
                for text in _suite(suite, tally):
                    own.write(text)
                    merged.write(text)
    return (*written, "junit/merged.xml")


@contextlib.contextmanager
def _document(path: Path, run_id: str, tally: _Tally) -> Iterator[TextIO]:
    """One file, which appears whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as out:
        out.write(f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites name={_quoted(run_id)} {tally.attributes()}>\n')
        yield out
        out.write("</testsuites>\n")
    partial.replace(path)


def _suite(suite: SuiteEvidence, tally: _Tally) -> Iterator[str]:
    started = f" timestamp={_quoted(suite.endings[0].started_at)}" if suite.endings else ""
    yield f"<testsuite name={_quoted(suite.name)} {tally.attributes()}{started}>\n"
    for case in suite.cases:
        yield from _case(case)
    yield "</testsuite>\n"


def _tally(suite: SuiteEvidence) -> _Tally:
    tally = _Tally(tests=len(suite.cases), seconds=suite.seconds)
    for case in suite.cases:
        for kind, _, _ in _final_problems(case):
            tally.failures += kind is ProblemKind.FAILURE
            tally.errors += kind is ProblemKind.ERROR
        tally.skipped += case.outcome in {CaseOutcome.SKIPPED, CaseOutcome.XFAILED}
    return tally


def _final_problems(case: CaseRecord) -> list[tuple[ProblemKind, str, str]]:
    """(kind, type, text) of what is wrong with the test in the end; a flaky test's failures are told elsewhere."""
    if case.outcome is CaseOutcome.FLAKY or case.outcome in {CaseOutcome.SKIPPED, CaseOutcome.XFAILED}:
        return []
    last = case.last
    if last is None:
        return [(ProblemKind.ERROR, "lost", "collected and never started")]
    found = [(problem.kind, _type_of(problem), problem.text) for problem in last.problems]
    match case.outcome:
        case CaseOutcome.LOST:
            found.append((ProblemKind.ERROR, "lost", "started and never seen to finish"))
        case CaseOutcome.XPASSED:
            found.append((ProblemKind.FAILURE, "xpassed", "passed although it was expected to fail"))
        case CaseOutcome.ERROR if not found:
            found.append((ProblemKind.ERROR, "contradiction", "all phases passed, and its process reported an error"))
    return found


def _type_of(problem: Problem) -> str:
    return "timeout" if problem.timed_out else f"{problem.phase}-{problem.kind}"


def _case(case: CaseRecord) -> Iterator[str]:
    classname, name = split_node_id(case.id)
    yield f'<testcase classname={_quoted(classname)} name={_quoted(name)} time="{case.seconds:.6f}">\n'
    yield from _properties(case)
    for kind, type_name, text in _final_problems(case):
        yield _problem(kind.value, type_name, text)
    yield from _earlier_attempts(case)
    if case.outcome in {CaseOutcome.SKIPPED, CaseOutcome.XFAILED}:
        yield f'<skipped type="{case.outcome}" message={_quoted(case.skip_reason)}/>\n'
    yield from _captured(case)
    yield "</testcase>\n"


def _properties(case: CaseRecord) -> Iterator[str]:
    """The node id stands here because two tests may share one classname and name."""
    pairs = [("node_id", case.id), ("outcome", case.outcome.value), ("attempts", str(len(case.attempts)))]
    if case.last is not None:
        pairs.append(("worker", case.last.process))
        pairs.extend((str(name), str(value)) for name, value in case.last.properties.items())
    yield "<properties>\n"
    for name, value in pairs:
        yield f"<property name={_quoted(name)} value={_quoted(value)}/>\n"
    yield "</properties>\n"


def _earlier_attempts(case: CaseRecord) -> Iterator[str]:
    """Attempts before the last one, in the elements that Surefire introduced for them."""
    prefix = "flaky" if case.outcome is CaseOutcome.FLAKY else "rerun"
    for attempt in case.attempts[:-1]:
        for problem in attempt.problems or _lost_attempt(attempt):
            tag = prefix + problem.kind.value.capitalize()
            head = f"<{tag} message={_quoted(problem.headline)} type={_quoted(_type_of(problem))}>"
            yield f"{head}<stackTrace>{_text(problem.text)}</stackTrace></{tag}>\n"


def _lost_attempt(attempt: Attempt) -> tuple[Problem, ...]:
    if attempt.outcome is not CaseOutcome.LOST:
        return ()
    return (Problem(ProblemKind.ERROR, "call", f"attempt {attempt.number} was never seen to finish"),)


def _captured(case: CaseRecord) -> Iterator[str]:
    """What a red test printed; schemas want at most one element of each kind."""
    phases = case.last.phases if case.last else ()
    if out := "\n".join(text for phase in phases for text in (phase.stdout_tail, phase.log_tail) if text):
        yield f"<system-out>{_text(out)}</system-out>\n"
    if err := "\n".join(phase.stderr_tail for phase in phases if phase.stderr_tail):
        yield f"<system-err>{_text(err)}</system-err>\n"


def split_node_id(case_id: str) -> tuple[str, str]:
    """Classname and name as pytest's own JUnit spells them; parameters may contain anything, ``::`` too."""
    path, bracket, parameters = case_id.partition("[")
    *parents, name = path.split("::")
    module = parents[:1] or [""]
    dotted = ".".join([module[0].removesuffix(".py").replace("/", "."), *parents[1:]])
    return dotted, name + bracket + parameters


def _problem(tag: str, type_name: str, text: str) -> str:
    headline = Problem(ProblemKind(tag), type_name, text).headline
    return f"<{tag} message={_quoted(headline)} type={_quoted(type_name)}>{_text(text)}</{tag}>\n"


def _quoted(text: str) -> str:
    return f'"{xml_safe(text).translate(_IN_ATTRIBUTE)}"'


def _text(text: str) -> str:
    return xml_safe(text).translate(_IN_TEXT)

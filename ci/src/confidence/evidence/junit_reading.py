"""Reads JUnit XML of foreign runners strictly: no DTD, no entities, no lies in the counts, and whole or not at all."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from confidence.model.records import Attempt, CaseRecord, PhaseRecord

FILE_BYTES_MAX = 64 * 1024**2
CASES_MAX = 500_000
DEPTH_MAX = 32
TEXT_CHARS_MAX = 64_000
_BLOCK_BYTES = 256 * 1024

_PROBLEM_TAGS = {"failure", "error"}
_TEXT_TAGS = {"failure", "error", "skipped", "system-out", "system-err"}
_ROOTS = {"testsuites", "testsuite"}


class UnreadableJunitError(ValueError):
    """A JUnit file that is no evidence; the sentence says why."""


@dataclass(slots=True)
class _Element:
    """A test case while it is being read."""

    name: str
    seconds: float
    problems: list[tuple[str, str]] = field(default_factory=list)
    skip_reason: str | None = None
    out: str = ""
    err: str = ""


@dataclass(slots=True)
class _Declared:
    """What a ``testsuite`` says of itself, against what was found in it."""

    name: str
    tests: int | None
    found: int = 0


@dataclass
class _Reader:
    """The state of one parse; expat calls it element by element, so memory stays with the cases."""

    cases: list[_Element] = field(default_factory=list)
    suites: list[_Declared] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    text_chars: int = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.path and tag not in _ROOTS:
            raise UnreadableJunitError(f"the root is <{tag[:40]}>, not a test suite")
        self.path.append(tag)
        if len(self.path) > DEPTH_MAX:
            raise UnreadableJunitError("elements are nested deeper than any test report's")
        if tag == "testsuite":
            self.suites.append(_Declared(attributes.get("name", ""), _number(attributes, "tests")))
        elif tag == "testcase":
            self._case(attributes)
        elif tag in _TEXT_TAGS:
            self.text, self.text_chars = [attributes.get("message", "")[:TEXT_CHARS_MAX]], 0

    def _case(self, attributes: dict[str, str]) -> None:
        name = attributes.get("name", "").strip()
        if not name:
            raise UnreadableJunitError("a test case has no name: its worker crashed or its runner lost it")
        if "testcase" in self.path[:-1] or not self.suites:
            raise UnreadableJunitError(f"the test case {name[:80]} stands outside any suite")
        if len(self.cases) >= CASES_MAX:
            raise UnreadableJunitError(f"more than {CASES_MAX} test cases")
        classname = attributes.get("classname", "").strip()
        seconds = _seconds(attributes.get("time", "0"))
        self.cases.append(_Element(f"{classname}::{name}" if classname else name, seconds))
        for suite in self.suites:
            suite.found += 1

    def characters(self, data: str) -> None:
        if self.text_chars < TEXT_CHARS_MAX:
            self.text.append(data)
            self.text_chars += len(data)

    def end(self, tag: str) -> None:
        self.path.pop()
        if tag == "testsuite":
            self._close_suite(self.suites.pop())
        elif tag in _TEXT_TAGS and self.cases and "testcase" in self.path:
            self._text(tag, "\n".join(part for part in (self.text[0], "".join(self.text[1:]).strip()) if part))

    def _text(self, tag: str, text: str) -> None:
        case = self.cases[-1]
        if tag in _PROBLEM_TAGS:
            case.problems.append((tag, text))
        elif tag == "skipped":
            case.skip_reason = text
        elif tag == "system-out":
            case.out = text
        else:
            case.err = text

    @staticmethod
    def _close_suite(suite: _Declared) -> None:
        if suite.tests is not None and suite.tests != suite.found:
            raise UnreadableJunitError(f"suite {suite.name[:80]} declares {suite.tests} tests and holds {suite.found}")


def read_junit(path: Path, suite: str) -> tuple[CaseRecord, ...]:
    """The test cases of one file, in its order; two elements of one id are one test with all their problems.

    Raises:
        UnreadableJunitError: not whole, not JUnit, too large, with a DTD, counts that lie, or a test that passed twice.
    """
    size = path.stat().st_size
    if path.is_symlink() or size > FILE_BYTES_MAX:
        raise UnreadableJunitError(f"a link, or larger than {FILE_BYTES_MAX} bytes")
    if size == 0:
        raise UnreadableJunitError("the file is empty")
    reader = _Reader()
    parser = _strict_parser(reader)
    try:
        with path.open("rb") as source:
            while block := source.read(_BLOCK_BYTES):
                parser.Parse(block, False)
            parser.Parse(b"", True)
    except expat.ExpatError as broken:
        raise UnreadableJunitError(f"no whole XML document: {broken}") from broken
    except (ValueError, LookupError) as broken:
        raise broken if isinstance(broken, UnreadableJunitError) else UnreadableJunitError(str(broken)) from broken
    return _joined(reader.cases, suite)


def _strict_parser(reader: _Reader) -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _refuse_dtd
    parser.EntityDeclHandler = _refuse_dtd
    parser.ExternalEntityRefHandler = _refuse_dtd
    return parser


def _refuse_dtd(*_: Any) -> int:
    raise UnreadableJunitError("the file declares a document type or entities, which no test report needs")


def _joined(elements: list[_Element], suite: str) -> tuple[CaseRecord, ...]:
    by_name: dict[str, list[_Element]] = {}
    for element in elements:
        by_name.setdefault(element.name, []).append(element)
    return tuple(_record(suite, name, same) for name, same in by_name.items())


def _record(suite: str, name: str, elements: list[_Element]) -> CaseRecord:
    """One call failure and one teardown error may share a name; two reports without any problem may not."""
    if sum(not element.problems for element in elements) > 1:
        raise UnreadableJunitError(f"{name[:120]} is reported {len(elements)} times: a retry was merged silently")
    phases = [phase for element in elements for phase in _phases(element)]
    attempt = Attempt(number=1, process="foreign", started_at="", is_finished=True, phases=tuple(phases))
    return CaseRecord(suite, name, (attempt,))


def _phases(element: _Element) -> list[PhaseRecord]:
    if element.problems:
        return [
            PhaseRecord(
                phase="call" if tag == "failure" else "teardown",
                outcome="failed",
                seconds=element.seconds / len(element.problems),
                longrepr=text,
                stdout_tail=element.out,
                stderr_tail=element.err,
            )
            for tag, text in element.problems
        ]
    if element.skip_reason is not None:
        return [PhaseRecord("call", "skipped", element.seconds, longrepr=element.skip_reason)]
    return [PhaseRecord("call", "passed", element.seconds)]


def _number(attributes: dict[str, str], name: str) -> int | None:
    if name not in attributes:
        return None
    text = attributes[name].strip()
    if not (text.isascii() and text.isdigit()):
        raise UnreadableJunitError(f'{name}="{text[:40]}" is no count')
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text.replace(",", ""))
    except ValueError as unreadable:
        raise UnreadableJunitError(f'time="{text[:40]}" is no duration') from unreadable
    if not 0 <= seconds < 10**7:
        raise UnreadableJunitError(f'time="{text[:40]}" is no duration')
    return seconds

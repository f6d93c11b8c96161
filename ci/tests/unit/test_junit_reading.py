"""JUnit of others: existence is no evidence, and a hostile or half file is refused by its reason."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confidence.evidence import assemble
from confidence.evidence.junit_reading import FILE_BYTES_MAX, UnreadableJunitError, read_junit
from confidence.model.evidence import Flaw
from confidence.model.plan import EvidenceKind
from confidence.model.records import CaseOutcome

NewBundle = Callable[..., Any]
SuiteSpecs = Callable[..., Any]
GOOD = '<testsuite name="s" tests="1"><testcase classname="pay" name="a" time="0.5"/></testsuite>'
BILLION_LAUGHS = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;">]>
<testsuite tests="1"><testcase name="&lol2;"/></testsuite>"""


def a_file(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "foreign.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestAForeignFile:
    def test_its_cases_become_records(self, tmp_path: Path) -> None:
        path = a_file(
            tmp_path,
            """<testsuites><testsuite name="s" tests="3"><testcase classname="pay" name="a" time="0.5"/>
            <testcase classname="pay" name="b"><failure message="no">E   1 != 2</failure></testcase>
            <testcase classname="pay" name="c"><skipped message="later"/></testcase></testsuite></testsuites>""",
        )

        cases = read_junit(path, "foreign")

        outcomes = [(case.id, case.outcome) for case in cases]
        assert outcomes == [
            ("pay::a", CaseOutcome.PASSED),
            ("pay::b", CaseOutcome.FAILED),
            ("pay::c", CaseOutcome.SKIPPED),
        ]

    def test_a_failure_and_an_error_of_one_name_are_one_test(self, tmp_path: Path) -> None:
        path = a_file(
            tmp_path,
            '<testsuite><testcase name="a"><failure/></testcase><testcase name="a"><error/></testcase></testsuite>',
        )

        (case,) = read_junit(path, "foreign")

        assert len(case.attempts[0].problems) == 2

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("", "empty"),
            ("ok", "no whole XML document"),
            (GOOD[:-15], "no whole XML document"),
            (BILLION_LAUGHS, "document type"),
            ('<!DOCTYPE testsuite SYSTEM "file:///etc/passwd"><testsuite/>', "document type"),
            ("<html/>", "not a test suite"),
            ('<testsuite tests="2"><testcase name="a"/></testsuite>', "declares 2 tests and holds 1"),
            ('<testsuite tests="many"><testcase name="a"/></testsuite>', "no count"),
            ('<testsuite><testcase name="a" time="NaN"/></testsuite>', "no duration"),
            ("<testsuite><testcase/></testsuite>", "no name"),
            ('<testsuites><testcase name="a"/></testsuites>', "outside any suite"),
            ('<testsuite><testcase name="a"/><testcase name="a"/></testsuite>', "merged silently"),
            ("<testsuite>" + "<x>" * 40 + "</x>" * 40 + "</testsuite>", "deeper"),
            (b'<?xml version="1.0" encoding="utf-8"?><testsuite name="\xff"/>', "no whole XML document"),
        ],
    )
    def test_what_is_no_evidence_is_refused(self, tmp_path: Path, content: str | bytes, reason: str) -> None:
        path = a_file(tmp_path, content)

        with pytest.raises(UnreadableJunitError, match=reason):
            read_junit(path, "foreign")

    def test_a_huge_file_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        path = a_file(tmp_path, GOOD)
        os.truncate(path, FILE_BYTES_MAX + 1)

        with pytest.raises(UnreadableJunitError, match="larger than"):
            read_junit(path, "foreign")


class TestASuiteOfAForeignRunner:
    def bundle_with(self, new_bundle: NewBundle, suite_spec: SuiteSpecs, **files: str) -> Any:
        bundle = new_bundle(suite_spec("foreign", pytest=None, command=("other",), evidence=EvidenceKind.JUNIT))
        folder = bundle.path / "junit" / "foreign" / "foreign"
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / f"{name}.xml").write_text(content)
        bundle.ending("foreign")
        return bundle

    def test_it_is_judged_by_what_its_files_say(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = self.bundle_with(new_bundle, suite_spec, report=GOOD)

        evidence = assemble(bundle.finish())

        assert evidence.suites[0].is_green
        assert evidence.serious_problems == ()

    def test_an_old_file_is_stale(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = self.bundle_with(new_bundle, suite_spec, report=GOOD)
        os.utime(bundle.path / "junit/foreign/foreign/report.xml", (1_000_000_000, 1_000_000_000))

        evidence = assemble(bundle.finish())

        assert evidence.suites[0].cases == ()
        assert evidence.serious_problems[0].flaw is Flaw.STALE

    def test_a_broken_file_is_named_and_the_others_are_shown(
        self, new_bundle: NewBundle, suite_spec: SuiteSpecs
    ) -> None:
        bundle = self.bundle_with(new_bundle, suite_spec, good=GOOD, bad="ok")

        evidence = assemble(bundle.finish())

        assert evidence.counts.passed == 1
        assert evidence.serious_problems[0].source == "junit/foreign/foreign/bad.xml"

    def test_a_test_in_two_files_is_named(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = self.bundle_with(new_bundle, suite_spec, one=GOOD, two=GOOD)

        evidence = assemble(bundle.finish())

        assert evidence.serious_problems[0].flaw is Flaw.DUPLICATED

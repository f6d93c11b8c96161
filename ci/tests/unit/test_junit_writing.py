"""JUnit that we write: counts are recomputed, names survive, and what one test did stays one element."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from confidence.evidence import assemble
from confidence.evidence.junit_reading import read_junit
from confidence.evidence.junit_writing import split_node_id, xml_safe

NewBundle = Callable[..., Any]
SuiteSpecs = Callable[..., Any]
A = "tests/test_a.py::TestPay::test_a"


def merged(bundle: Any) -> ET.Element:
    bundle.ending()
    assemble(bundle.finish())
    return ET.parse(bundle.path / "junit" / "merged.xml").getroot()  # noqa: S314 - written by ourselves a line before


class TestCounts:
    def test_they_are_those_of_the_elements(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.collected("t.py::never")
        log.passed("t.py::passes")
        log.failed("t.py::fails", teardown="E   and its teardown")
        log.skipped("t.py::skipped", reason="not on this machine")
        log.skipped("t.py::expected", wasxfail="a known defect")

        root = merged(bundle)

        declared = {name: int(root.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
        found = {
            "tests": len(root.findall(".//testcase")),
            "failures": len(root.findall(".//failure")),
            "errors": len(root.findall(".//error")),
            "skipped": len(root.findall(".//skipped")),
        }
        assert declared == found == {"tests": 5, "failures": 1, "errors": 2, "skipped": 2}

    def test_two_problems_of_one_test_are_one_element(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.process().failed(A, teardown="E   LedgerError: 7 missing")

        cases = merged(bundle).findall(".//testcase")

        assert [[child.tag for child in case] for case in cases] == [["properties", "failure", "error"]]

    def test_an_earlier_attempt_is_told_and_not_counted(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.failed(A, longrepr="E   the first time")
        log.passed(A, attempt=2)

        root = merged(bundle)

        assert root.attrib["failures"] == "0"
        earlier = root.find(".//flakyFailure")
        assert earlier is not None
        assert earlier.attrib["message"] == "the first time"

    def test_each_suite_has_a_file_of_its_own(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = new_bundle(suite_spec("rules"), suite_spec("pages"))
        bundle.healthy_suite("rules")
        bundle.healthy_suite("pages")

        assemble(bundle.finish())

        names = sorted(path.name for path in (bundle.path / "junit").glob("*.xml"))
        assert names == ["merged.xml", "pages.xml", "rules.xml"]


class TestNames:
    def test_the_node_id_is_a_property(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.process(process="gw0").passed(A, properties={"ledger_verified": True})

        root = merged(bundle)

        properties = {item.attrib["name"]: item.attrib["value"] for item in root.iter("property")}
        assert properties["node_id"] == A
        assert properties["worker"] == "gw0"
        assert properties["ledger_verified"] == "True"

    @pytest.mark.parametrize(
        "hostile",
        ["\x00\x1b[31m", "]]>&<'\"", "\ud800 alone", "\ufffe", "name\nin two lines\r\t", "<script>alert(1)</script>"],
    )
    def test_hostile_names_and_reports_stay_readable_xml(self, new_bundle: NewBundle, hostile: str) -> None:
        bundle = new_bundle()
        bundle.process().failed(f"t.py::test[{hostile}]", longrepr=f"E   {hostile}", stdout_tail=hostile)

        root = merged(bundle)

        assert root.findall(".//testcase")[0].attrib["name"] == xml_safe(f"test[{hostile}]")

    @pytest.mark.parametrize(
        ("case_id", "expected"),
        [
            ("tests/test_pay.py::TestX::test_a", ("tests.test_pay.TestX", "test_a")),
            ("tests/test_pay.py::test_a[a::b/c.py]", ("tests.test_pay", "test_a[a::b/c.py]")),
            ("smoke", ("", "smoke")),
        ],
    )
    def test_a_node_id_is_split_as_pytest_does(self, case_id: str, expected: tuple[str, str]) -> None:
        split = split_node_id(case_id)

        assert split == expected

    def test_our_own_file_satisfies_our_own_strict_reader(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.passed("t.py::passes")
        log.failed("t.py::fails", teardown="E   and its teardown")
        log.skipped("t.py::skipped")
        merged(bundle)

        cases = read_junit(bundle.path / "junit" / "merged.xml", "rules")

        assert [case.outcome.value for case in cases] == ["passed", "failed", "skipped"]

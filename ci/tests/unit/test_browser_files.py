"""Browser files: each is indexed by its test, redacted once, and announced ones must be there."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confidence.evidence import assemble
from confidence.model.evidence import Flaw

NewBundle = Callable[..., Any]
A = "tests/rules.py::test_a"


def with_trace(bundle: Any, content: str = '{"password": "hunter2hunter2"}') -> Path:
    path: Path = bundle.path / "traces" / "ab12.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("trace.trace", content)
    return path


def with_attachment(bundle: Any, relative: str) -> None:
    log = bundle.process()
    log.passed(A)
    log.attached(A, "trace", relative)
    log.end()
    bundle.ending()


class TestTheIndex:
    def test_a_trace_is_known_by_its_test_and_its_command(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        with_trace(bundle)
        with_attachment(bundle, "traces/ab12.zip")

        evidence = assemble(bundle.finish())

        (trace,) = evidence.browser_files
        assert (trace.case_id, trace.suite, trace.redactions) == (A, "rules", 1)
        assert trace.open_command == "playwright show-trace run/traces/ab12.zip"
        index = json.loads((bundle.path / "traces" / "index.json").read_text())
        assert [entry["path"] for entry in index["files"]] == ["traces/ab12.zip"]

    def test_a_bundle_that_is_read_again_is_not_rewritten(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        path = with_trace(bundle)
        with_attachment(bundle, "traces/ab12.zip")
        assemble(bundle.finish())
        before = path.stat()

        evidence = assemble(bundle.path)

        assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
        assert evidence.browser_files[0].redactions == 1

    def test_an_announced_file_that_is_not_there_is_missing(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        with_attachment(bundle, "traces/gone.zip")

        evidence = assemble(bundle.finish())

        assert [problem.flaw for problem in evidence.serious_problems] == [Flaw.MISSING]

    def test_a_path_out_of_the_bundle_is_foreign(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        with_attachment(bundle, "../../etc/passwd")

        evidence = assemble(bundle.finish())

        assert [problem.flaw for problem in evidence.serious_problems] == [Flaw.FOREIGN]

    def test_a_trace_that_cannot_be_read_is_named(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.healthy_suite()
        (bundle.path / "traces").mkdir()
        (bundle.path / "traces" / "half.zip").write_bytes(b"PK\x03\x04half")

        evidence = assemble(bundle.finish())

        assert evidence.serious_problems[0].source == "traces/half.zip"

"""Journals: only whole lines of this very run are believed, and what is refused has a name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confidence.evidence.journal import Identity, read_journal
from confidence.model.evidence import Flaw

NewBundle = Callable[..., Any]


def identity_of(bundle: Any) -> Identity:
    return Identity(frozenset({bundle.plan.run_id}), bundle.plan.plan_digest)


def read(path: Path, bundle: Any) -> Any:
    return read_journal(path, "events/rules/main.jsonl", identity_of(bundle))


class TestAnEventFile:
    def test_a_whole_file_of_this_run_is_believed(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.passed("test_a.py::test_a")
        log.end()

        journal = read(log.path, bundle)

        assert len(journal.events) == 7
        assert journal.problems == ()
        assert not journal.is_cut_off

    @pytest.mark.parametrize(
        ("identity", "flaw"), [({"run_id": "an-earlier-run"}, Flaw.STALE), ({"plan_digest": "f00"}, Flaw.FOREIGN)]
    )
    def test_another_runs_events_are_not_believed_at_all(
        self, new_bundle: NewBundle, identity: dict[str, str], flaw: Flaw
    ) -> None:
        bundle = new_bundle()
        log = bundle.process(**identity)
        log.passed("test_a.py::test_a")

        journal = read(log.path, bundle)

        assert journal.events == ()
        assert [problem.flaw for problem in journal.problems] == [flaw]
        assert "events/rules/main.jsonl" in journal.problems[0].sentence

    def test_a_file_that_does_not_open_with_a_session_is_foreign(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.passed("test_a.py::test_a")
        log.path.write_text("".join(log.path.read_text().splitlines(keepends=True)[1:]))

        journal = read(log.path, bundle)

        assert journal.events == ()
        assert journal.problems[0].flaw is Flaw.FOREIGN

    def test_a_half_written_last_line_is_left_out_and_remembered(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.started("test_a.py::test_a")
        with log.path.open("a") as out:
            out.write('{"event":"test_finis')

        journal = read(log.path, bundle)

        assert len(journal.events) == 2
        assert journal.is_cut_off
        assert journal.problems == ()

    def test_a_broken_line_in_the_middle_ends_belief(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        with log.path.open("ab") as out:
            out.write(b'{"event": \xff\n')
        log.passed("test_a.py::test_a")

        journal = read(log.path, bundle)

        assert len(journal.events) == 1
        assert journal.problems[0].flaw is Flaw.CORRUPT
        assert "line 2" in journal.problems[0].sentence

    def test_a_missing_line_is_noticed_by_its_number(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.failed("test_a.py::test_a")
        lines = log.path.read_text().splitlines(keepends=True)
        log.path.write_text("".join(lines[:3] + lines[4:]))

        journal = read(log.path, bundle)

        assert journal.problems[0].flaw is Flaw.CORRUPT
        assert "jumps to line 5 where 4 was due" in journal.problems[0].sentence

    @pytest.mark.parametrize(("content", "flaw"), [(b"", Flaw.EMPTY), (b"ok", Flaw.TRUNCATED), (b"ok\n", Flaw.CORRUPT)])
    def test_what_holds_no_event_is_no_evidence(self, new_bundle: NewBundle, content: bytes, flaw: Flaw) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.path.write_bytes(content)

        journal = read(log.path, bundle)

        assert journal.events == ()
        assert flaw in {problem.flaw for problem in journal.problems}

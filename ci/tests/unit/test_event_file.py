"""The plugin's own file: whole lines, one writer, and nothing of a name's content breaks them."""

import os
from pathlib import Path

import pytest

from confidence.model.events import CollectError, TestStarted, event_from_line
from confidence.pytest_plugin import EventLog


class TestEventLog:
    """What is written can be read, in the order in which it was written."""

    @pytest.mark.parametrize("name", ["a", "é", "\ud800", "\x00\n\u2028", '"}', "<script>", "a" * 10_000])
    def test_any_name_is_one_readable_line(self, tmp_path: Path, name: str) -> None:
        log = EventLog(tmp_path, "till", "main")

        log.write("collect_error", id=name, longrepr="why")

        (line,) = (tmp_path / "main.jsonl").read_text(encoding="ascii").splitlines()
        event = event_from_line(line)
        assert isinstance(event, CollectError)
        assert event.id == name

    def test_what_can_wait_comes_with_the_next_in_order(self, tmp_path: Path) -> None:
        log = EventLog(tmp_path, "till", "main")
        log.write_encoded("test_started", '"id":"a","attempt":1', can_wait=True)
        waiting = (tmp_path / "main.jsonl").read_text(encoding="ascii")

        log.write_encoded("test_started", '"id":"b","attempt":1')

        events = [event_from_line(line) for line in (tmp_path / "main.jsonl").read_text("ascii").splitlines()]
        assert waiting == ""
        assert [(event.seq, event.id) for event in events if isinstance(event, TestStarted)] == [(1, "a"), (2, "b")]

    def test_a_forked_child_does_not_speak_for_its_parent(self, tmp_path: Path) -> None:
        log = EventLog(tmp_path, "till", "main")

        child = os.fork()
        if child == 0:
            log.write("test_started", id="of the child", attempt=1)
            os._exit(0)
        os.waitpid(child, 0)

        assert (tmp_path / "main.jsonl").read_text(encoding="ascii") == ""

    def test_a_second_session_in_one_place_has_a_log_of_its_own(self, tmp_path: Path) -> None:
        first, second = EventLog(tmp_path, "till", "main"), EventLog(tmp_path, "till", "main")

        assert (first.process, second.process) == ("main", "main-2")

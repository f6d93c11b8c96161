"""The tail of the event logs says what runs now, without ever waiting for a process."""

from pathlib import Path

from confidence.execution.event_tail import EventTail

STARTED = '{"event":"test_started","id":"%s"}\n'
FINISHED = '{"event":"test_finished","id":"%s","outcome":"passed"}\n'


class TestEventTail:
    """Only whole lines count, each once."""

    def test_what_was_started_and_not_finished_is_running(self, tmp_path: Path) -> None:
        (tmp_path / "gw0.jsonl").write_text(STARTED % "a" + FINISHED % "a" + STARTED % "b", encoding="ascii")
        (tmp_path / "gw1.jsonl").write_text(STARTED % "a", encoding="ascii")
        tail = EventTail(tmp_path)

        assert tail.look()

        assert tail.ids_running == ["b", "a"]
        assert tail.outcomes == {"passed": 1}

    def test_a_half_written_line_waits_for_its_other_half(self, tmp_path: Path) -> None:
        log, line = tmp_path / "main.jsonl", STARTED % "a"
        log.write_text(line[:20], encoding="ascii")
        tail = EventTail(tmp_path)
        tail.look()

        log.write_text(line, encoding="ascii")
        tail.look()

        assert tail.ids_running == ["a"]

    def test_silence_is_no_sign_of_life(self, tmp_path: Path) -> None:
        (tmp_path / "main.jsonl").write_text(STARTED % "a", encoding="ascii")
        tail = EventTail(tmp_path)
        tail.look()

        assert not tail.look()

    def test_rubbish_is_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "main.jsonl").write_bytes(b'{"event":"test_started" \xff\n\x00\n' + (STARTED % "a").encode())
        tail = EventTail(tmp_path)

        tail.look()

        assert tail.ids_running == ["a"]

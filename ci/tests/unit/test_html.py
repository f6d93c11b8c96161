"""report.html: self-contained, the reasons first, and every name is text whatever it holds."""

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from confidence.evidence import assemble
from confidence.gates import judge_all
from confidence.model.plan import GateSpec, Override
from confidence.reports import write_reports

NewBundle = Callable[..., Any]
HOSTILE = "tests/rules.py::test_a[</script><script>alert('x')</script><img src=x onerror=alert(1)>\x1b\u202e]"


class Page(HTMLParser):
    """What a browser would make of the page: its elements and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def page_of(bundle: Any) -> Page:
    evidence = assemble(bundle.finish())
    write_reports(bundle.path, evidence, judge_all(evidence))
    return Page(bundle.path / "report.html")


def red_bundle(new_bundle: NewBundle) -> Any:
    override = Override("BILLING_COVERAGE_MIN_UTILS_LINE", "80", weakens=True, sentence="the floor is 85 %")
    bundle = new_bundle(gates=(GateSpec("no-failures"), GateSpec("nothing-lost")), overrides=(override,))
    log = bundle.process()
    log.failed(HOSTILE, longrepr="E   <b>not bold</b>", log_tail="<i>tail</i>", teardown="E   LedgerError: 7 missing")
    log.attached(HOSTILE, "screenshot", "screenshots/a b.png")
    log.cannot_collect("tests/broken.py")
    log.started("tests/rules.py::test_lost")
    (bundle.path / "screenshots").mkdir()
    (bundle.path / "screenshots" / "a b.png").write_bytes(b"\x89PNG")
    bundle.ending(exit_code=1)
    return bundle


class TestAHostileName:
    def test_it_makes_no_element_and_no_script(self, new_bundle: NewBundle) -> None:
        page = page_of(red_bundle(new_bundle))

        scripts = [attributes for tag, attributes in page.elements if tag == "script"]
        assert scripts == [{"type": "application/json", "id": "test-data"}, {}]
        assert not [attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)]
        assert "<b>not bold</b>" in page.text
        assert "\x1b" not in page.source
        assert "\u202e" not in page.source

    def test_only_our_own_script_may_run(self, new_bundle: NewBundle) -> None:
        page = page_of(red_bundle(new_bundle))

        script = re.findall(r"<script>(.*?)</script>", page.source, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
        policy = next(
            item["content"] for _, item in page.elements if item.get("http-equiv") == "Content-Security-Policy"
        )
        assert len(script) == 1
        assert policy is not None
        assert f"script-src 'sha256-{digest}'" in policy
        assert policy.startswith("default-src 'none'")

    def test_nothing_is_loaded_from_outside_the_bundle(self, new_bundle: NewBundle) -> None:
        page = page_of(red_bundle(new_bundle))

        targets = [item.get(name) or "" for _, item in page.elements for name in ("src", "href") if name in item]
        assert not [target for target in targets if "://" in target or target.startswith(("/", "//"))]
        assert "screenshots/a%20b.png" in targets


class TestWhatIsSaid:
    def test_a_green_page_has_no_reasons(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=(GateSpec("no-failures"),))
        bundle.healthy_suite()

        page = page_of(bundle)

        assert "Green: every gate passed" in page.text
        assert "Why it is not green" not in page.text

    def test_a_red_page_says_why_before_it_shows_anything_else(self, new_bundle: NewBundle) -> None:
        page = page_of(red_bundle(new_bundle))

        words = ("Red: 2 gates are violated", "Weakened", "Why it is not green", "A lane for each process")
        order = [page.text.index(part) for part in words]
        assert order == sorted(order)

    def test_both_problems_the_log_and_what_was_lost_are_shown(self, new_bundle: NewBundle) -> None:
        page = page_of(red_bundle(new_bundle))

        for words in (
            "LedgerError: 7 missing",
            "<i>tail</i>",
            "It was running when its process ended.",
            "ImportError while importing tests/broken.py",
            "confidence run --tier pr-fast",
        ):
            assert words in page.text

    def test_why_tests_were_skipped(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=(GateSpec("no-failures"),))
        process = bundle.process()
        process.passed("tests/rules.py::test_a")
        process.skipped("tests/rules.py::test_b", reason="Skipped: No <credentials> for the sandbox.")
        bundle.ending()

        assert "1 in rules: No <credentials> for the sandbox." in page_of(bundle).text

    def test_a_path_that_leaves_the_bundle_leads_nowhere(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=(GateSpec("no-failures"),))
        log = bundle.process()
        log.failed("tests/rules.py::test_a")
        log.attached("tests/rules.py::test_a", "screenshot", "../../etc/passwd")
        bundle.ending(exit_code=1)

        page = page_of(bundle)

        targets = [item.get(name) or "" for _, item in page.elements for name in ("src", "href") if name in item]
        assert not [target for target in targets if ".." in target]

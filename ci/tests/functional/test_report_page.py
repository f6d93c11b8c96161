"""The report in a real browser: scripts of names do not run, thousands of tests open at once, small screens hold it."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from confidence.evidence import assemble
from confidence.gates import judge_all
from confidence.model.plan import GateSpec
from confidence.reports import write_reports

HOSTILE = "tests/rules.py::test_a[</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>]"
TESTS = 5_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium, else the one that Playwright brought."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser
        browser.close()


def errors_of(page: Page) -> list[str]:
    """Collects what the page's console and its scripts complain about."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, bundle_at: Callable[..., Any]) -> Path:
    """A red report of many tests, one of them with a hostile name."""
    bundle = bundle_at(tmp_path_factory.mktemp("report"), gates=(GateSpec("no-failures"), GateSpec("nothing-lost")))
    log = bundle.process()
    log.failed(HOSTILE)
    log.all_passed(f"tests/rules.py::test_rule_{number}" for number in range(TESTS - 1))
    log.end(1)
    bundle.ending(exit_code=1)
    evidence = assemble(bundle.finish())
    write_reports(bundle.path, evidence, judge_all(evidence))
    path: Path = bundle.path / "report.html"
    return path


class TestThePageInABrowser:
    def test_a_hostile_name_is_only_text(self, chromium: Browser, report: Path) -> None:
        page = chromium.new_page()
        errors = errors_of(page)

        page.goto(report.as_uri())

        assert page.evaluate("window.broken") is None
        assert page.locator("#test-table tbody tr").first.locator("td").first.text_content() == HOSTILE
        assert errors == []
        page.close()

    def test_thousands_of_tests_open_in_a_moment_and_can_be_searched(self, chromium: Browser, report: Path) -> None:
        page = chromium.new_page()
        began = time.monotonic()

        page.goto(report.as_uri())
        page.locator("#filter-count").get_by_text(f"{TESTS} of {TESTS} tests").wait_for()
        opened_seconds = time.monotonic() - began
        page.keyboard.press("/")
        page.keyboard.type("rule_4999")

        assert opened_seconds < 3  # about 0.3 s on a quiet machine; this one may be busy with other suites
        assert page.locator("#filter-count").text_content() == f"0 of {TESTS} tests"
        page.get_by_label("Search").fill("rule_499")
        assert page.locator("#test-table tbody tr").count() == 10
        page.get_by_label("Outcome").select_option("failed")
        assert page.locator("#test-table tbody tr").count() == 0
        page.close()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [360, 1280])
    def test_it_fits_the_screen(self, chromium: Browser, report: Path, width: int, scheme: Any) -> None:
        page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)

        page.goto(report.as_uri())

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.get_by_role("heading", level=1).inner_text().endswith("Red: a gate is violated")
        page.close()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_has_no_accessibility_violation(self, chromium: Browser, report: Path, scheme: Any) -> None:
        page = chromium.new_page(color_scheme=scheme)
        page.goto(report.as_uri())

        found = Axe().run(page)

        assert found.violations_count == 0, found.generate_report()
        page.close()

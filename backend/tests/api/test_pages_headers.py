"""What protects the pages: headers on each of them, no inline code, files that caches may keep only when it is safe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.tests.builders.pages import Shop
from billing.pages.rendering import STATIC_FOLDER

TEMPLATES = STATIC_FOLDER.parent / "templates"
INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\bsrc=)|javascript:", re.IGNORECASE)
ELSEWHERE = re.compile(r"""(?:src|href|action)=["']\s*(?:https?:)?//|@import|url\(\s*["']?(?:https?:)?//""")


def files(folder: Path, *endings: str) -> list[Path]:
    """The files with these endings, by name."""
    return sorted(file for file in folder.rglob("*") if file.suffix in endings)


class TestEveryPage:
    @pytest.mark.parametrize(
        "path", ["/billing/balance", "/billing/playground", "/billing/balance/cards/balance", "/billing/nowhere", "/"]
    )
    async def test_is_kept_by_no_cache_and_framed_by_nobody(self, shop: Shop, path: str) -> None:
        async with shop.visitor() as ada:
            answer = await ada.browser.get(path)

        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self'",
            "connect-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"

    async def test_a_page_that_is_not_there_is_a_page(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            page = await ada.see("/billing/nowhere", status=404)

        assert "Not found" in page.text
        assert page.links["Go to your balance"] == "/billing/balance"


class TestTheFilesOfPages:
    async def test_may_be_kept_for_ever_at_their_own_address(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            page = await ada.see("/billing/balance")
            addresses = [address for address in page.addresses() if address.startswith("/static/")]
            answers = [await ada.browser.get(address) for address in addresses]

        assert {address.rsplit("/", 1)[1] for address in addresses} == {"app.css", "main.js", "mark.svg"}
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers["Cache-Control"] for answer in answers} == {"public, max-age=31536000, immutable"}
        assert {answer.headers["X-Content-Type-Options"] for answer in answers} == {"nosniff"}

    async def test_are_asked_for_again_at_another_version_s_address(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            answer = await ada.browser.get("/static/another/app.css")

        assert answer.headers["Cache-Control"] == "no-cache"

    @pytest.mark.parametrize("name", ["../templates/base.html", "..%2f..%2fservice.py", "%2e%2e/rendering.py"])
    async def test_nothing_else_is_served(self, shop: Shop, name: str) -> None:
        async with shop.visitor() as ada:
            answer = await ada.browser.get(f"/static/{shop.services.renderer.static_version}/{name}")

        assert answer.status_code == 404

    def test_stay_small(self) -> None:
        scripts = sum(file.stat().st_size for file in files(STATIC_FOLDER, ".js"))
        styles = sum(file.stat().st_size for file in files(STATIC_FOLDER, ".css"))

        assert 0 < scripts < 40 * 1024
        assert 0 < styles < 20 * 1024

    @pytest.mark.parametrize("file", files(TEMPLATES, ".html"), ids=lambda file: file.name)
    def test_no_template_has_code_or_style_in_it_or_leads_elsewhere(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")

        assert not INLINE.search(text)
        assert not ELSEWHERE.search(text)

    @pytest.mark.parametrize("file", files(TEMPLATES, ".html"), ids=lambda file: file.name)
    def test_every_address_in_a_template_is_built_by_the_one_function(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")

        addresses = re.findall(r'(?:href|src|action|data-src)="([^"]*)"', text)
        assert all(re.match(r"#|\{\{ (?:url|static)\(|\{\{ confirmation_url \}\}", address) for address in addresses)

    @pytest.mark.parametrize("file", files(STATIC_FOLDER, ".css", ".js"), ids=lambda file: file.name)
    def test_no_file_fetches_from_elsewhere(self, file: Path) -> None:
        assert not ELSEWHERE.search(file.read_text(encoding="utf-8"))

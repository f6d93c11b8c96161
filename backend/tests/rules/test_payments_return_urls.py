"""Which addresses a customer may be sent back to, at any base path."""

from __future__ import annotations

import pytest

from billing.kit.errors import SettingsError
from billing.kit.public_address import (
    InvalidReturnUrl,
    app_path_or,
    parse_app_path,
    parse_origin,
    parse_public_address,
    parse_return_url,
)

pytestmark = pytest.mark.trust

PUBLIC = parse_public_address("https://shop.example/chat")
ALLOWED = frozenset({"https://app.example", "http://localhost:3000"})


class TestThePublicBase:
    @pytest.mark.parametrize(
        ("base", "url", "href"),
        [
            ("https://shop.example", "https://shop.example/billing", "/billing"),
            ("https://shop.example/", "https://shop.example/billing", "/billing"),
            ("https://shop.example/chat", "https://shop.example/chat/billing", "/chat/billing"),
            ("https://shop.example/a/b/", "https://shop.example/a/b/billing", "/a/b/billing"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/billing", "/billing"),
            ("https://SHOP.example:443/x", "https://shop.example/x/billing", "/x/billing"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x/billing", "/x/billing"),
        ],
    )
    def test_carries_scheme_host_and_path_into_every_address(self, base: str, url: str, href: str) -> None:
        public = parse_public_address(base)

        assert (public.url("/billing"), public.href("/billing")) == (url, href)

    @pytest.mark.parametrize(
        "base",
        [
            "",
            "shop.example",
            "ftp://shop.example",
            "https://",
            "https://user:secret@shop.example",
            "https://shop.example/?a=b",
            "https://shop.example/#top",
            "https://shop.example/a//b",
            "https://shop.example/a/../b",
            "https://shop.example:port",
            "https:/shop.example",
        ],
    )
    def test_that_is_no_base_keeps_the_server_from_starting(self, base: str) -> None:
        with pytest.raises(SettingsError, match="BILLING_PUBLIC_BASE_URL"):
            parse_public_address(base)


class TestAPathInsideTheApplication:
    @pytest.mark.parametrize(
        "path", ["/", "/billing/balance", "/billing/playground?model=small&next=http://x", "/a-b_c.d~e", "/caf%C3%A9"]
    )
    def test_comes_through_unchanged(self, path: str) -> None:
        assert parse_app_path(path) == path

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "billing",
            "//evil.example",
            "///evil.example",
            "/a//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/%5cevil.example",
            "/%2fevil.example",
            "/%2Fevil.example",
            "/%252fevil.example",
            "/../admin",
            "/a/./b",
            "/%2e%2e/admin",
            "/a\nb",
            "/a\tb",
            "/a b",
            "/\x00",
            "/%00",
            "/%0d%0aSet-Cookie:x",
            "/%zz",
            "/a#top",
            "/caf\u00e9",
            "/\uff0fevil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/" + "a" * 2048,
        ],
    )
    def test_that_could_lead_elsewhere_is_refused(self, path: str) -> None:
        with pytest.raises(InvalidReturnUrl) as refused:
            parse_app_path(path)

        assert refused.value.code == "invalid_return_url"
        assert "evil" not in refused.value.sentence

    def test_a_page_falls_back_where_a_link_is_spoilt(self) -> None:
        assert app_path_or("//evil.example", "/billing/balance") == "/billing/balance"
        assert app_path_or(None, "/billing/balance") == "/billing/balance"
        assert app_path_or("/billing/playground", "/billing/balance") == "/billing/playground"


class TestAClientsReturnUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "https://shop.example",
            "https://shop.example/",
            "https://shop.example/chat/after?x=1",
            "https://SHOP.example:443/after",
            "https://app.example/after",
            "http://localhost:3000/after",
        ],
    )
    def test_of_our_own_or_an_allowed_origin_comes_through_unchanged(self, url: str) -> None:
        assert parse_return_url(url, public=PUBLIC, allowed_origins=ALLOWED) == url

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "/after",
            "//shop.example/after",
            "shop.example/after",
            "http://shop.example/after",
            "https://shop.example:8443/after",
            "https://evil.example/after",
            "https://shop.example.evil.example/",
            "https://shop.example@evil.example/",
            "https://user@shop.example/",
            "https://user:secret@shop.example/",
            "https://evil.example\\@shop.example/",
            "https://shop.example\\.evil.example/",
            "https:\\\\shop.example/",
            "https:/shop.example/",
            "https:///shop.example/",
            "https://shop.example/after#top",
            "https://shop.example/a\r\nb",
            "https://shop.example/\ta",
            " https://shop.example/",
            "https://shop.example/%5c..",
            "https://shop.example//evil.example",
            "https://shop.example/%2e%2e/",
            "https://shop%2eexample/",
            "https://shop.example:99999/",
            "https://[shop.example/",
            "javascript://shop.example/%0aalert(1)",
            "data:text/html,x",
            "ftp://shop.example/",
            "http://localhost:3001/",
            "https://shop.example/" + "a" * 2048,
        ],
    )
    def test_of_anywhere_else_or_with_tricks_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidReturnUrl):
            parse_return_url(url, public=PUBLIC, allowed_origins=ALLOWED)


class TestAnAllowedOrigin:
    @pytest.mark.parametrize(
        ("text", "origin"),
        [("https://App.Example/", "https://app.example"), ("http://localhost:3000", "http://localhost:3000")],
    )
    def test_is_normalised(self, text: str, origin: str) -> None:
        assert parse_origin(text, setting="X") == origin

    @pytest.mark.parametrize("text", ["app.example", "https://app.example/path", "https://app.example?x", "*", "null"])
    def test_that_is_more_or_less_than_one_is_named(self, text: str) -> None:
        with pytest.raises(SettingsError, match="BILLING_RETURN_URL_ORIGINS"):
            parse_origin(text, setting="BILLING_RETURN_URL_ORIGINS")

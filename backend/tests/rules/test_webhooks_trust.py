"""Who may bring notifications: every check on and off, every kind of token, every kind of route."""

from __future__ import annotations

import pytest

from billing.kit.errors import SettingsError
from billing.kit.settings import read_group
from billing.webhooks.errors import WebhookNotConfigured, WebhookSourceRefused, WebhookTokenInvalid, WebhookUntrusted
from billing.webhooks.settings import WebhookSettings
from billing.webhooks.trust import Knock, TrustPolicy, parse_networks, source_of

pytestmark = pytest.mark.trust

TOKEN = "s\u00e9same-0123456789"
FROM_YOOKASSA = "185.71.76.5"
FROM_ELSEWHERE = "203.0.113.9"
PROXY = "10.0.0.2"

# What a token can be, and whether it opens the door.
TOKENS: dict[str, tuple[bytes | None, bytes | None, bool]] = {
    "in the header": (TOKEN.encode(), None, True),
    "in the query": (None, TOKEN.encode(), True),
    "in both": (TOKEN.encode(), TOKEN.encode(), True),
    "right in the header, wrong in the query": (TOKEN.encode(), b"wrong", True),
    "wrong in the header, right in the query": (b"wrong", TOKEN.encode(), False),
    "empty in the header, right in the query": (b"", TOKEN.encode(), False),
    "missing": (None, None, False),
    "wrong": (b"wrong", None, False),
    "empty": (b"", None, False),
    "empty in the query": (None, b"", False),
    "a prefix": (TOKEN.encode()[:-1], None, False),
    "in another encoding": (TOKEN.encode("latin-1"), None, False),
    "not even text": (b"\xff\xfe", None, False),
}

# How a request can arrive: peer, X-Forwarded-For, number of our own proxies, and whether it comes from YooKassa.
ROUTES: dict[str, tuple[str | None, tuple[str, ...], int, bool]] = {
    "directly": (FROM_YOOKASSA, (), 0, True),
    "directly from elsewhere": (FROM_ELSEWHERE, (), 0, False),
    "directly from elsewhere with a forged header": (FROM_ELSEWHERE, (FROM_YOOKASSA,), 0, False),
    "over one proxy": (PROXY, (FROM_YOOKASSA,), 1, True),
    "over one proxy from elsewhere": (PROXY, (FROM_ELSEWHERE,), 1, False),
    "over one proxy with a forged first hop": (PROXY, (f"{FROM_YOOKASSA}, {FROM_ELSEWHERE}",), 1, False),
    "over one proxy with a forged header before the proxy's": (PROXY, (FROM_YOOKASSA, FROM_ELSEWHERE), 1, False),
    "over one proxy with a foreign proxy before it": (PROXY, (f"198.51.100.1, {FROM_YOOKASSA}",), 1, True),
    "over two proxies": (PROXY, (f"{FROM_YOOKASSA}, 10.0.0.1",), 2, True),
    "over two proxies with a forged hop": (PROXY, (f"{FROM_YOOKASSA}, {FROM_ELSEWHERE}, 10.0.0.1",), 2, False),
    "past the proxy": (FROM_YOOKASSA, (), 1, False),
    "past one of two proxies": (PROXY, (FROM_YOOKASSA,), 2, False),
    "over a proxy that writes nonsense": (PROXY, ("unknown",), 1, False),
    "over a proxy that writes nothing": (PROXY, ("",), 1, False),
    "over a proxy that writes ports": (PROXY, (f"{FROM_YOOKASSA}:4711",), 1, True),
    "over IPv6": ("2a02:5180::7", (), 0, True),
    "over a proxy that writes IPv6 with a port": (PROXY, ("[2a02:5180::7]:443",), 1, True),
    "as IPv4 in IPv6": (f"::ffff:{FROM_YOOKASSA}", (), 0, True),
    "as IPv4 in IPv6 from elsewhere": (f"::ffff:{FROM_ELSEWHERE}", (), 0, False),
    "over a socket without an address": (None, (), 0, False),
}


def policy(*, token_check: bool, source_check: bool, hops: int = 0, token: str = TOKEN) -> TrustPolicy:
    settings = read_group(
        WebhookSettings,
        {
            "BILLING_WEBHOOK_YOOKASSA_TOKEN_CHECK": str(token_check),
            "BILLING_WEBHOOK_YOOKASSA_TOKEN": token,
            "BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK": str(source_check),
        },
    )
    return settings.yookassa_policy(is_production=False, trusted_hops=hops)


def refusal_of(door: TrustPolicy, knock: Knock) -> type[WebhookUntrusted] | None:
    """How the door refuses; None when it opens."""
    try:
        door.admit(knock)
    except WebhookUntrusted as refused:
        return type(refused)
    return None


class TestTheMatrix:
    @pytest.mark.parametrize("checks", ["token and source", "token", "source", "nothing"])
    @pytest.mark.parametrize("token", TOKENS)
    def test_a_door_opens_exactly_when_every_check_that_is_on_passes(self, token: str, checks: str) -> None:
        header_token, query_token, is_token_right = TOKENS[token]
        opens_by_token = is_token_right or "token" not in checks

        refusals, expected = {}, {}
        for route, (peer, forwarded_for, hops, is_source_right) in ROUTES.items():
            door = policy(token_check="token" in checks, source_check="source" in checks, hops=hops)
            refusals[route] = refusal_of(door, Knock(header_token, query_token, peer, forwarded_for))
            opens_by_source = is_source_right or "source" not in checks
            by_source = None if opens_by_source else WebhookSourceRefused
            expected[route] = by_source if opens_by_token else WebhookTokenInvalid

        assert refusals == expected


class TestAnUnsetToken:
    @pytest.mark.parametrize("token", TOKENS)
    def test_refuses_every_call(self, token: str) -> None:
        header_token, query_token, _ = TOKENS[token]
        door = policy(token_check=True, source_check=False, token="")

        with pytest.raises(WebhookNotConfigured):
            door.admit(Knock(header_token, query_token, FROM_YOOKASSA, ()))

    def test_is_a_problem_that_readiness_shows(self) -> None:
        (problem,) = policy(token_check=True, source_check=False, token="").problems()

        assert "BILLING_WEBHOOK_YOOKASSA_TOKEN" in problem

    def test_is_none_where_the_token_is_not_checked(self) -> None:
        assert policy(token_check=False, source_check=True, token="").problems() == ()


class TestPublishedAddresses:
    @pytest.mark.parametrize(
        ("address", "is_theirs"),
        [
            ("185.71.76.0", True),
            ("185.71.76.31", True),
            ("185.71.76.32", False),
            ("185.71.77.31", True),
            ("77.75.153.127", True),
            ("77.75.153.128", False),
            ("77.75.156.11", True),
            ("77.75.156.12", False),
            ("77.75.156.35", True),
            ("77.75.154.127", False),
            ("77.75.154.128", True),
            ("2a02:5180::", True),
            ("2a02:5180:ffff::1", True),
            ("2a02:5181::", False),
        ],
    )
    def test_end_exactly_where_they_end(self, address: str, is_theirs: bool) -> None:  # noqa: FBT001 - parametrised
        door = policy(token_check=False, source_check=True)
        knock = Knock(None, None, address, ())

        if is_theirs:
            door.admit(knock)
        else:
            with pytest.raises(WebhookSourceRefused):
                door.admit(knock)


class TestConfiguredAddresses:
    def test_are_taken_beside_the_published_ones(self) -> None:
        settings = read_group(WebhookSettings, {"BILLING_WEBHOOK_YOOKASSA_SOURCES": "127.0.0.2, 10.1.0.0/16"})

        door = settings.yookassa_policy(is_production=False, trusted_hops=0)

        for peer in ("127.0.0.2", "10.1.255.255", FROM_YOOKASSA):
            door.admit(Knock(None, None, peer, ()))

    @pytest.mark.parametrize(
        "malformed", ["10.0.0.1/8", "300.1.1.1", "10.0.0.0/33", "example.org", "10.0.0.1-10.0.0.9"]
    )
    def test_a_malformed_one_keeps_the_server_from_starting_and_is_named(self, malformed: str) -> None:
        settings = read_group(WebhookSettings, {"BILLING_WEBHOOK_YOOKASSA_SOURCES": f"127.0.0.1,{malformed}"})

        with pytest.raises(SettingsError) as refused:
            settings.yookassa_policy(is_production=False, trusted_hops=0)

        (problem,) = refused.value.problems
        assert malformed in problem
        assert "BILLING_WEBHOOK_YOOKASSA_SOURCES" in problem

    def test_all_malformed_ones_are_named_at_once(self) -> None:
        with pytest.raises(SettingsError) as refused:
            parse_networks(["a", "127.0.0.1", "b"], setting="X")

        assert len(refused.value.problems) == 2


class TestProduction:
    def test_with_no_check_on_does_not_start(self) -> None:
        settings = read_group(WebhookSettings, {"BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK": "false"})

        with pytest.raises(SettingsError, match="Production must check notifications"):
            settings.yookassa_policy(is_production=True, trusted_hops=0)

    def test_checks_the_source_unless_told_otherwise(self) -> None:
        assert read_group(WebhookSettings, {}).yookassa_policy(is_production=True, trusted_hops=0).is_source_checked

    def test_starts_with_the_token_alone(self) -> None:
        settings = read_group(
            WebhookSettings,
            {
                "BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK": "false",
                "BILLING_WEBHOOK_YOOKASSA_TOKEN_CHECK": "true",
                "BILLING_WEBHOOK_YOOKASSA_TOKEN": TOKEN,
            },
        )

        assert settings.yookassa_policy(is_production=True, trusted_hops=0).problems() == ()


class TestTheSource:
    def test_is_the_peer_however_much_a_stranger_writes_into_the_header(self) -> None:
        knock = Knock(None, None, FROM_ELSEWHERE, (", ".join([FROM_YOOKASSA] * 50),))

        assert str(source_of(knock, trusted_hops=0)) == FROM_ELSEWHERE


class TestSecrets:
    def test_stay_out_of_what_is_shown(self) -> None:
        settings = read_group(WebhookSettings, {"BILLING_WEBHOOK_YOOKASSA_TOKEN": "sesame-secret"})

        policy_text = repr(settings.yookassa_policy(is_production=False, trusted_hops=0))
        knock_text = repr(Knock(b"sesame-secret", b"sesame-secret", None, ()))
        assert "sesame-secret" not in repr(settings) + policy_text + knock_text

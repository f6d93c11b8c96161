"""Who may bring notifications: every check on and off, every kind of token, every kind of route."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
import stripe

from backend.tests.fakes.clock import NOON
from billing.kit.client_address import ProxySettings, TrustedProxies, parse_networks
from billing.kit.errors import SettingsError
from billing.kit.settings import read_group
from billing.webhooks.errors import (
    WebhookNotConfigured,
    WebhookSignatureInvalid,
    WebhookSignatureOutdated,
    WebhookSourceRefused,
    WebhookTokenInvalid,
    WebhookUntrusted,
)
from billing.webhooks.rules import Provider
from billing.webhooks.settings import WebhookSettings
from billing.webhooks.signatures import sign
from billing.webhooks.trust import Knock, TrustPolicies, TrustPolicy

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


BODY = b'{"event": "x"}'
SECRET = "whsec_the_secret_in_use"
NEW_SECRET = "whsec_the_one_that_replaces_it"


def doors(environ: Mapping[str, str], *, is_production: bool = False, hops: int = 0) -> TrustPolicies:
    """Every door under these settings, each without the prefix that all of them have; both providers collect."""
    settings = read_group(WebhookSettings, {f"BILLING_WEBHOOK_{name}": value for name, value in environ.items()})
    return settings.policies(is_production=is_production, configured=frozenset(Provider), proxies=TrustedProxies(hops))


def policy(*, token_check: bool, source_check: bool, hops: int = 0, token: str = TOKEN) -> TrustPolicy:
    """YooKassa's door."""
    settings = {
        "YOOKASSA_TOKEN_CHECK": str(token_check),
        "YOOKASSA_TOKEN": token,
        "YOOKASSA_SOURCE_CHECK": str(source_check),
    }
    return doors(settings, hops=hops).doors[Provider.YOOKASSA]


def knock(
    header_token: bytes | None = None,
    query_token: bytes | None = None,
    peer: str | None = FROM_YOOKASSA,
    forwarded_for: tuple[str, ...] = (),
    *,
    signature: bytes | None = None,
) -> Knock:
    """What a request shows."""
    return Knock(header_token, query_token, signature, peer, forwarded_for, BODY)


def refusal_of(door: TrustPolicy, shown: Knock) -> type[WebhookUntrusted] | None:
    """How the door refuses; None when it opens."""
    try:
        door.admit(shown, now=NOON)
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
            refusals[route] = refusal_of(door, knock(header_token, query_token, peer, forwarded_for))
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
            door.admit(knock(header_token, query_token), now=NOON)

    def test_is_a_problem_that_readiness_shows(self) -> None:
        (problem,) = policy(token_check=True, source_check=False, token="").problems()

        assert "BILLING_WEBHOOK_YOOKASSA_TOKEN" in problem

    def test_is_none_where_the_token_is_not_checked(self) -> None:
        assert policy(token_check=False, source_check=True, token="").problems() == ()

    def test_is_no_problem_at_the_door_of_a_provider_that_does_not_collect_here(self) -> None:
        settings = read_group(WebhookSettings, {})

        policies = settings.policies(
            is_production=True, configured=frozenset({Provider.YOOKASSA}), proxies=TrustedProxies(0)
        )

        assert policies.problems() == ()
        assert policies.doors[Provider.STRIPE].problems() != ()


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

        assert refusal_of(door, knock(peer=address)) is (None if is_theirs else WebhookSourceRefused)


class TestConfiguredAddresses:
    def test_are_taken_beside_the_published_ones(self) -> None:
        door = doors({"YOOKASSA_SOURCES": "127.0.0.2, 10.1.0.0/16"}).doors[Provider.YOOKASSA]

        assert [refusal_of(door, knock(peer=peer)) for peer in ("127.0.0.2", "10.1.255.255", FROM_YOOKASSA)] == [
            None
        ] * 3

    @pytest.mark.parametrize("provider", Provider)
    @pytest.mark.parametrize(
        "malformed", ["10.0.0.1/8", "300.1.1.1", "10.0.0.0/33", "example.org", "10.0.0.1-10.0.0.9"]
    )
    def test_a_malformed_one_keeps_the_server_from_starting_and_is_named(
        self, provider: Provider, malformed: str
    ) -> None:
        with pytest.raises(SettingsError) as refused:
            doors({f"{provider.upper()}_SOURCES": f"127.0.0.1,{malformed}"})

        (problem,) = refused.value.problems
        assert malformed in problem
        assert f"BILLING_WEBHOOK_{provider.upper()}_SOURCES" in problem

    def test_all_malformed_ones_are_named_at_once(self) -> None:
        with pytest.raises(SettingsError) as refused:
            parse_networks("a,127.0.0.1,b", setting="X")

        assert len(refused.value.problems) == 2


class TestOurOwnProxies:
    def test_are_given_by_number_or_by_address_not_both(self) -> None:
        settings = read_group(
            ProxySettings, {"BILLING_TRUSTED_PROXY_HOPS": "1", "BILLING_TRUSTED_PROXIES": "10.0.0.0/8"}
        )

        with pytest.raises(SettingsError, match="not both"):
            settings.trusted_proxies()

    def test_a_malformed_address_keeps_the_server_from_starting_and_is_named(self) -> None:
        with pytest.raises(SettingsError, match=r"BILLING_TRUSTED_PROXIES: 'proxy\.example'"):
            read_group(ProxySettings, {"BILLING_TRUSTED_PROXIES": "proxy.example"}).trusted_proxies()


class TestASignature:
    @pytest.fixture
    def door(self) -> TrustPolicy:
        """Stripe's door while one secret is being replaced by another."""
        return doors({"STRIPE_SIGNING_SECRETS": f"{SECRET}, {NEW_SECRET}"}).doors[Provider.STRIPE]

    @pytest.mark.parametrize("secret", [SECRET, NEW_SECRET])
    def test_of_either_secret_opens_the_door_while_one_is_being_replaced(self, door: TrustPolicy, secret: str) -> None:
        assert refusal_of(door, knock(signature=sign(BODY, secret.encode(), at=NOON))) is None

    def test_is_enough_beside_others(self, door: TrustPolicy) -> None:
        timestamp, ours = sign(BODY, SECRET.encode(), at=NOON).split(b",")

        assert refusal_of(door, knock(signature=b",".join([timestamp, b"v1=00", b"v0=11", ours]))) is None

    @pytest.mark.parametrize("seconds", [-300, 0, 300])
    def test_is_good_for_five_minutes_both_ways(self, door: TrustPolicy, seconds: int) -> None:
        signature = sign(BODY, SECRET.encode(), at=NOON + timedelta(seconds=seconds))

        assert refusal_of(door, knock(signature=signature)) is None

    @pytest.mark.parametrize("seconds", [-301, 301, -(10**9)])
    def test_of_another_time_is_outdated(self, door: TrustPolicy, seconds: int) -> None:
        signature = sign(BODY, SECRET.encode(), at=NOON + timedelta(seconds=seconds))

        assert refusal_of(door, knock(signature=signature)) is WebhookSignatureOutdated

    @pytest.mark.parametrize(
        "signature",
        [
            None,
            b"",
            b"t=,v1=",
            b"v1=" + b"0" * 64,
            b"t=" + str(int(NOON.timestamp())).encode(),
            sign(BODY, b"whsec_of_somebody_else", at=NOON),
            sign(BODY + b" ", SECRET.encode(), at=NOON),
            sign(BODY, SECRET.encode(), at=NOON).replace(b"v1", b"v0"),
            sign(BODY, SECRET.encode(), at=NOON).upper(),
            sign(BODY, SECRET.encode(), at=NOON).replace(b"t=1", b"t=0001"),
            "t=\u0661\u0662,v1=\u044f".encode(),
            b"t=1,v1=\xff\xfe",
            b"t=" + b"9" * 4000 + b",v1=00",
            b"v1=00," * 5000 + sign(BODY, SECRET.encode(), at=NOON),
        ],
    )
    def test_that_is_anything_else_is_refused(self, door: TrustPolicy, signature: bytes | None) -> None:
        assert refusal_of(door, knock(signature=signature)) is WebhookSignatureInvalid

    @pytest.mark.parametrize("secrets", ["", " , "])
    def test_checked_with_an_empty_secret_refuses_every_call(self, secrets: str) -> None:
        door = doors({"STRIPE_SIGNING_SECRETS": secrets}).doors[Provider.STRIPE]

        with pytest.raises(WebhookNotConfigured):
            door.admit(knock(signature=sign(BODY, b"", at=NOON)), now=NOON)
        (problem,) = door.problems()
        assert "BILLING_WEBHOOK_STRIPE_SIGNING_SECRETS" in problem

    def test_has_two_secrets_at_the_most(self) -> None:
        with pytest.raises(SettingsError, match="BILLING_WEBHOOK_YOOKASSA_SIGNING_SECRETS takes 2") as refused:
            doors({"YOOKASSA_SIGNING_SECRETS": "first,second,third"})

        assert "first" not in str(refused.value)

    def test_of_our_relay_opens_yookassas_door_where_it_is_checked(self) -> None:
        settings = {
            "YOOKASSA_SIGNATURE_CHECK": "true",
            "YOOKASSA_SIGNING_SECRETS": SECRET,
            "YOOKASSA_SOURCE_CHECK": "0",
        }
        door = doors(settings).doors[Provider.YOOKASSA]

        assert refusal_of(door, knock(signature=sign(BODY, SECRET.encode(), at=NOON))) is None
        assert refusal_of(door, knock()) is WebhookSignatureInvalid

    def test_is_the_one_that_the_official_sdk_makes_and_believes(self, door: TrustPolicy) -> None:
        moment = int(NOON.timestamp())
        theirs = stripe.WebhookSignature._compute_signature(f"{moment}.{BODY.decode()}", SECRET)  # noqa: SLF001 - the only thing that signs in the SDK
        ours = sign(BODY, SECRET.encode(), at=NOON).decode()

        assert refusal_of(door, knock(signature=f"t={moment},v1={theirs}".encode())) is None
        assert stripe.WebhookSignature.verify_header(BODY.decode(), ours, SECRET, tolerance=None)


class TestProduction:
    def test_with_no_check_on_does_not_start(self) -> None:
        with pytest.raises(SettingsError) as refused:
            doors({"YOOKASSA_SOURCE_CHECK": "0", "STRIPE_SIGNATURE_CHECK": "0"}, is_production=True)

        assert [problem.split(":")[0] for problem in refused.value.problems] == [
            "Production must check notifications of stripe",
            "Production must check notifications of yookassa",
        ]

    def test_does_not_mind_the_door_of_a_provider_that_does_not_collect_here(self) -> None:
        settings = read_group(WebhookSettings, {"BILLING_WEBHOOK_STRIPE_SIGNATURE_CHECK": "0"})

        policies = settings.policies(
            is_production=True, configured=frozenset({Provider.YOOKASSA}), proxies=TrustedProxies(0)
        )

        assert policies.problems() == ()

    def test_checks_yookassas_source_and_stripes_signature_unless_told_otherwise(self) -> None:
        found = {
            name: (door.is_token_checked, door.is_source_checked, door.is_signature_checked)
            for name, door in doors({}, is_production=True).doors.items()
        }

        assert found == {Provider.YOOKASSA: (False, True, False), Provider.STRIPE: (False, False, True)}

    @pytest.mark.parametrize("check", ["TOKEN", "SOURCE", "SIGNATURE"])
    def test_starts_with_any_one_check(self, check: str) -> None:
        off = {f"YOOKASSA_{name}_CHECK": "0" for name in ("TOKEN", "SOURCE", "SIGNATURE")}

        door = doors({**off, f"YOOKASSA_{check}_CHECK": "1"}, is_production=True).doors[Provider.YOOKASSA]

        on = (door.is_token_checked, door.is_source_checked, door.is_signature_checked)
        assert on.count(True) == 1


class TestTheSource:
    def test_is_the_peer_however_much_a_stranger_writes_into_the_header(self) -> None:
        forged = (", ".join([FROM_YOOKASSA] * 50),)

        assert str(TrustedProxies(0).address_of(peer=FROM_ELSEWHERE, forwarded_for=forged)) == FROM_ELSEWHERE


class TestSecrets:
    def test_stay_out_of_what_is_shown(self) -> None:
        settings = {
            "YOOKASSA_TOKEN": "sesame-secret",
            "YOOKASSA_TOKEN_CHECK": "1",
            "STRIPE_SIGNING_SECRETS": "sesame-secret",
        }
        environ = {f"BILLING_WEBHOOK_{name}": value for name, value in settings.items()}

        settings_text = repr(read_group(WebhookSettings, environ))
        policy_text = repr(doors(settings))
        knock_text = repr(knock(b"sesame-secret", b"sesame-secret", signature=b"sesame-secret"))
        assert "sesame-secret" not in settings_text + policy_text + knock_text

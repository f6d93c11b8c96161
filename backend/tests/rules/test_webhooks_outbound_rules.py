"""Which addresses are open, what is signed how, what is sent, and when an endpoint is given up: decided purely."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from billing.kit.errors import InvalidInput, SettingsError
from billing.wallets.alerts import EventKind
from billing.webhooks.outbound.addresses import AddressPolicy
from billing.webhooks.outbound.errors import OutboundNotConfigured, WebhookUrlRefused
from billing.webhooks.outbound.event_types import CATALOGUE, ENDPOINT_DISABLED, ENDPOINT_TEST
from billing.webhooks.outbound.rules import (
    DISABLED_AFTER,
    Answer,
    DeliveryStatus,
    DisabledReason,
    EndpointId,
    Message,
    Outcome,
    Spell,
    Subscription,
    body_of,
    check_description,
    check_event_types,
    routes,
    ruling,
    wait_after,
)
from billing.webhooks.outbound.settings import OutboundSettings
from billing.webhooks.outbound.signing import SecretName, SigningKeys

pytestmark = pytest.mark.trust

STRICT = AddressPolicy()
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
REFUSED = Answer(Outcome.REFUSED, 500)
KEY, OTHER_KEY = b"k" * 32, b"o" * 32

# Each closed range by its first and last address, and its neighbours outside, written from the IANA registries.
CLOSED = [
    "0.0.0.0",  # noqa: S104 - nobody binds to it here
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.255",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:192.168.1.1",
    "::ffff:100.64.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fdff:ffff::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]
OPEN = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "192.0.3.1",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "::ffff:1.1.1.1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2a02:6b8::1",
    "2606:4700::1111",
    "3ffe::1",
]


class TestAddresses:
    @pytest.mark.parametrize("address", CLOSED)
    def test_what_is_not_public_is_closed(self, address: str) -> None:
        assert not STRICT.is_open(ip_address(address))
        assert STRICT.all_open(["1.1.1.1", address]) == ()

    @pytest.mark.parametrize("address", OPEN)
    def test_what_is_public_is_open(self, address: str) -> None:
        assert STRICT.is_open(ip_address(address))

    @pytest.mark.parametrize("address", CLOSED)
    def test_a_closed_address_cannot_be_named_in_a_url(self, address: str) -> None:
        host = f"[{address}]" if ":" in address else address

        with pytest.raises(WebhookUrlRefused):
            STRICT.parse(f"https://{host}/hooks")

    def test_what_the_installation_allows_is_open_in_every_spelling_and_its_neighbours_are_not(self) -> None:
        policy = AddressPolicy((IPv4Network("10.1.0.0/16"), IPv6Network("fd00:1::/32")))

        opened = [policy.is_open(ip_address(one)) for one in ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::1")]
        closed = [policy.is_open(ip_address(one)) for one in ("10.2.0.1", "::ffff:10.2.0.1", "fd00:2::1", "127.0.0.1")]

        assert (opened, closed) == ([True] * 3, [False] * 4)

    def test_no_address_at_all_is_not_open(self) -> None:
        assert STRICT.all_open([]) == ()


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "host", "port", "path", "authority"),
        [
            ("https://hooks.example", "hooks.example", 443, "/", "hooks.example"),
            ("https://Hooks.Example:8443/a?b=c", "hooks.example", 8443, "/a?b=c", "hooks.example:8443"),
            ("https://[2a02:6b8::1]/a%2Fb", "2a02:6b8::1", 443, "/a%2Fb", "[2a02:6b8::1]"),
            ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
        ],
    )
    def test_are_read_in_their_parts(self, url: str, host: str, port: int, path: str, authority: str) -> None:
        target = STRICT.parse(url)

        assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "hooks.example",
            "//hooks.example/",
            "http://hooks.example/",
            "ftp://hooks.example/",
            "file:///etc/passwd",
            "gopher://hooks.example/",
            "https://",
            "https:///path",
            "https://:443/",
            "https://user:secret@hooks.example/",
            "https://user@hooks.example/",
            "https://hooks.example@10.0.0.1/",
            "https://hooks.example/#fragment",
            "https://hooks.example\\@10.0.0.1/",
            "https://hooks%2eexample/",
            "https://hooks.example:0/",
            "https://hooks.example:65536/",
            "https://hooks.example:port/",
            "https://[::1",
            "https://[v1.x]/",
            "https://hooks.example/ blank",
            "https://hooks.example/\r\nHost: other",
            "https://hooks.example/\u043f",
            "https://\u2460.example/",
            "https://hooks.example/" + "x" * 2048,
        ],
    )
    def test_that_are_not_plain_https_are_refused(self, url: str) -> None:
        with pytest.raises(WebhookUrlRefused) as refusal:
            STRICT.parse(url)

        assert "secret" not in refusal.value.sentence

    def test_http_is_for_hosts_that_the_installation_names(self) -> None:
        policy = AddressPolicy((), frozenset({"hooks.internal"}))

        assert policy.parse("http://hooks.internal/a").port == 80
        with pytest.raises(WebhookUrlRefused):
            policy.parse("http://hooks.internal.example/a")


class TestSigning:
    def test_the_standards_own_library_accepts_what_we_sign(self) -> None:
        keys, name = SigningKeys((KEY,)), SigningKeys((KEY,)).new_secret(1)
        now = datetime.now(UTC)

        headers = keys.headers("whe_1", [name], message_id="msg_1", at=now, body='{"a":1}')

        assert Webhook(keys.secret("whe_1", name)).verify('{"a":1}', headers) == {"a": 1}
        with pytest.raises(WebhookVerificationError):
            Webhook(keys.secret("whe_2", name)).verify('{"a":1}', headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(keys.secret("whe_1", name)).verify('{"a":2}', headers)

    def test_during_a_rotation_both_secrets_verify(self) -> None:
        keys = SigningKeys((KEY,))
        old, new = keys.new_secret(1), keys.new_secret(2)
        now = datetime.now(UTC)

        headers = keys.headers("whe_1", [new, old], message_id="msg_1", at=now, body="{}")

        for name in (old, new):
            Webhook(keys.secret("whe_1", name)).verify("{}", headers)

    def test_a_secret_has_thirty_two_bytes_and_is_one_of_its_kind(self) -> None:
        keys = SigningKeys((KEY,))
        secrets = {keys.secret(endpoint, keys.new_secret(number)) for endpoint in ("a", "b") for number in (1, 2)}

        assert len(secrets) == 4
        assert {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in secrets} == {32}

    def test_after_the_key_was_changed_earlier_secrets_stay_what_they_are(self) -> None:
        before, after = SigningKeys((KEY,)), SigningKeys((OTHER_KEY, KEY))
        name = before.new_secret(1)

        assert after.secret("whe_1", name) == before.secret("whe_1", name)
        assert after.new_secret(1) != name

    def test_without_keys_or_without_the_right_one_nothing_is_signed(self) -> None:
        name = SigningKeys((KEY,)).new_secret(1)

        for attempt in (
            lambda: SigningKeys(()).new_secret(1),
            lambda: SigningKeys((OTHER_KEY,)).secret("whe_1", name),
        ):
            with pytest.raises(OutboundNotConfigured):
                attempt()

    def test_keys_are_not_shown(self) -> None:
        assert "kkkk" not in repr(SigningKeys((KEY,)))
        assert KEY.decode() not in repr(SecretName(1, SigningKeys((KEY,)).new_secret(1).key_fingerprint))


class TestSettings:
    def test_nothing_is_configured_by_default(self) -> None:
        settings = OutboundSettings()

        assert (settings.signing_keys(), settings.address_policy()) == (SigningKeys(()), AddressPolicy())

    def test_lists_are_read(self) -> None:
        settings = OutboundSettings.model_validate(
            {
                "BILLING_OUTBOUND_SECRET": SecretStr(KEY.decode()),
                "BILLING_OUTBOUND_SECRETS_BEFORE": SecretStr(OTHER_KEY.decode()),
                "BILLING_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8, fd00::/8",
                "BILLING_OUTBOUND_HTTP_HOSTS": "Hooks.Internal,[::1]",
            }
        )

        assert settings.signing_keys() == SigningKeys((KEY, OTHER_KEY))
        assert settings.address_policy() == AddressPolicy(
            (IPv4Network("127.0.0.0/8"), IPv6Network("fd00::/8")), frozenset({"hooks.internal", "::1"})
        )

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("BILLING_OUTBOUND_SECRET", "short"),
            ("BILLING_OUTBOUND_SECRETS_BEFORE", "x" * 32),
            ("BILLING_OUTBOUND_ALLOWED_NETWORKS", "10.0.0.1/8"),
            ("BILLING_OUTBOUND_ALLOWED_NETWORKS", "everything"),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, variable: str, value: str) -> None:
        settings = OutboundSettings.model_validate({variable: value})

        with pytest.raises(SettingsError, match=variable):
            _ = settings.signing_keys(), settings.address_policy()


def message(kind: str = "wallet.low_balance", account: str = "acc_1", **data: object) -> Message:
    return Message("msg_1", account, kind, "", data, NOW)


class TestTheBody:
    def test_is_the_same_text_whatever_the_order_of_its_data(self) -> None:
        assert body_of(message(a="1", b="2")) == body_of(message(b="2", a="1"))

    def test_names_no_person_at_any_depth(self) -> None:
        body = json.loads(body_of(message(email="a@b.c", deep={"phone": "1", "ok": 1}, items=[{"name": "Ada"}])))

        assert body["data"] == {"account_id": "acc_1", "deep": {"ok": 1}, "items": [{}]}

    def test_cannot_claim_another_account(self) -> None:
        assert json.loads(body_of(message(account_id="acc_2")))["data"] == {"account_id": "acc_1"}


class TestRoutes:
    def test_lead_to_the_accounts_endpoints_that_want_the_type(self) -> None:
        everything = Subscription(EndpointId("a"), "acc_1", None)
        caps = Subscription(EndpointId("b"), "acc_1", frozenset({"wallet.cap_threshold"}))
        stranger = Subscription(EndpointId("c"), "acc_2", None)

        found = routes([message(), message("a.kind_that_is_new")], [everything, caps, stranger])

        assert found == [("a", "msg_1"), ("a", "msg_1")]


class TestRuling:
    def test_a_success_ends_delivery_and_spell(self) -> None:
        result = ruling(
            Answer(Outcome.ACCEPTED, 200), attempts=3, spell=Spell(NOW, NOW), now=NOW + DISABLED_AFTER, chance=0.5
        )

        assert (result.status, result.due_at, result.spell) == (DeliveryStatus.DELIVERED, None, Spell())

    def test_the_first_failure_begins_a_spell_and_waits(self) -> None:
        result = ruling(REFUSED, attempts=1, spell=Spell(), now=NOW, chance=0.0)

        assert result.due_at == NOW + timedelta(seconds=5)
        assert (result.status, result.spell, result.disables) == (DeliveryStatus.WAITING, Spell(NOW, NOW), None)

    def test_the_failure_after_five_days_switches_off_and_the_one_before_does_not(self) -> None:
        spell = Spell(NOW, NOW + timedelta(days=4))

        before = ruling(REFUSED, attempts=2, spell=spell, now=NOW + DISABLED_AFTER - timedelta(seconds=1), chance=0)
        after = ruling(REFUSED, attempts=2, spell=spell, now=NOW + DISABLED_AFTER, chance=0)

        assert (before.disables, after.disables) == (None, DisabledReason.FAILING)

    def test_a_failure_long_after_the_last_one_begins_a_new_spell(self) -> None:
        later = NOW + timedelta(days=90)

        result = ruling(REFUSED, attempts=1, spell=Spell(NOW, NOW), now=later, chance=0.0)

        assert (result.spell, result.disables) == (Spell(later, later), None)

    def test_gone_switches_off_at_once(self) -> None:
        result = ruling(Answer(Outcome.REFUSED, 410), attempts=1, spell=Spell(), now=NOW, chance=0.0)

        assert (result.status, result.disables) == (DeliveryStatus.CANCELED, DisabledReason.GONE)

    def test_the_last_attempt_of_the_schedule_gives_up(self) -> None:
        result = ruling(REFUSED, attempts=10, spell=Spell(), now=NOW, chance=0.0)

        assert (result.status, result.due_at) == (DeliveryStatus.GIVEN_UP, None)

    def test_waits_are_lengthened_by_chance_and_never_so_much_that_a_spell_would_end(self) -> None:
        shortest, longest = wait_after(9, 0.0), wait_after(9, 1.0)

        assert (shortest, longest) == (timedelta(hours=24), timedelta(hours=28.8))


class TestWhatIsAskedFor:
    def test_types_of_the_catalogue_or_all(self) -> None:
        assert check_event_types(["topup.credited", "topup.credited"]) == frozenset({"topup.credited"})
        assert check_event_types(None) is None

    @pytest.mark.parametrize("types", [[], ["no.such_type"], ["topup.credited", "no.such_type"]])
    def test_others_are_refused(self, types: list[str]) -> None:
        with pytest.raises(InvalidInput):
            check_event_types(types)

    def test_a_description_is_a_short_note(self) -> None:
        assert [check_description(text) for text in ("", "  ", " mine ")] == ["", "", "mine"]
        for text in ("x" * 201, "two\nlines", "\x00"):
            with pytest.raises(InvalidInput):
                check_description(text)


class TestCatalogue:
    def test_every_kind_of_event_that_is_recorded_is_in_it(self) -> None:
        """Whoever subscribes to types can only choose what the catalogue has, and would never hear of the others."""
        assert {kind.value for kind in EventKind} - CATALOGUE.keys() == set()

    def test_nothing_is_promised_that_nobody_records(self) -> None:
        assert CATALOGUE.keys() - {kind.value for kind in EventKind} == {ENDPOINT_TEST, ENDPOINT_DISABLED}

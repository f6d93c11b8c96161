"""Who may do what, and which names, e-mails, zones and secrets we take."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from backend.tests.builders.customers import principal
from billing.customers import rules
from billing.customers.errors import Forbidden
from billing.customers.rules import Permission, Role, Scope
from billing.kit.errors import InvalidInput

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class TestEmails:
    @pytest.mark.parametrize("typed", ["Ada@Example.COM", "  ada@example.com\n", "ADA@EXAMPLE.COM"])
    def test_one_person_has_one_spelling(self, typed: str) -> None:
        assert rules.normalise_email(typed) == "ada@example.com"

    @pytest.mark.parametrize(
        "typed",
        [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a@b@c",
            "ada love@example.com",
            "ada@exa mple.com",
            "ada@example.com\x00",
            "ada@example.com\nbcc:eve@example.com",
            "ada@.com",
            "ada@example..com",
            "ada@example.com.",
            "a" * 65 + "@example.com",
            "ada@" + "a" * 250 + ".com",
        ],
    )
    def test_what_is_no_address_is_refused(self, typed: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            rules.normalise_email(typed)

        assert refusal.value.field == "email"

    def test_letters_that_only_look_alike_are_refused(self) -> None:
        with pytest.raises(InvalidInput):
            rules.normalise_email("аda@example.com")  # noqa: RUF001 - the first letter is Cyrillic, as in the attack

    def test_the_refusal_does_not_repeat_the_address(self) -> None:
        with pytest.raises(InvalidInput) as refusal:
            rules.normalise_email("ada@@example.com")

        assert "ada" not in refusal.value.sentence


class TestTimeZones:
    @pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Argentina/Buenos_Aires"])
    def test_iana_names_are_taken(self, name: str) -> None:
        assert rules.check_time_zone(name) == name

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "Mars/Olympus",
            "+03:00",
            "Europe",
            "../UTC",
            "/etc/localtime",
            "localtime",
            "Factory",
            "UTC\x00",
            "a" * 99,
        ],
    )
    def test_anything_else_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            rules.check_time_zone(name)

        assert refusal.value.field == "time_zone"


class TestNamesReasonsAndPasswords:
    def test_a_name_is_trimmed(self) -> None:
        assert rules.check_name("  Ada Лавлейс ") == "Ada Лавлейс"

    @pytest.mark.parametrize("name", ["", "   ", "a" * 201, "Ada\x00", "Ada\nLovelace"])
    def test_a_name_that_cannot_be_shown_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidInput):
            rules.check_name(name)

    def test_a_reason_is_trimmed(self) -> None:
        assert rules.check_reason("  the provider was down ") == "the provider was down"

    @pytest.mark.parametrize("reason", ["", "   ", "a" * 501, "because\x00", "because\nof this"])
    def test_a_reason_that_nobody_can_read_is_refused(self, reason: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            rules.check_reason(reason)

        assert refusal.value.facts == {"field": "reason"}

    @pytest.mark.parametrize("password", ["", "1234567", "a" * 201])
    def test_a_password_too_short_or_too_long_is_refused_and_not_repeated(self, password: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            rules.check_password(password)

        assert refusal.value.facts == {"field": "password"}

    def test_what_a_browser_calls_itself_is_cut_and_cleaned(self) -> None:
        assert rules.printable_user_agent("Mozilla\x1b[31m\x00" + "x" * 500) == "Mozilla[31m" + "x" * 189


class TestPermissions:
    @pytest.mark.parametrize(
        ("role", "allowed"),
        [
            (Role.OWNER, set(Permission)),
            (Role.ADMIN, set(Permission) - {Permission.CLOSE_ACCOUNT}),
            (Role.MEMBER, {Permission.CALL_MODELS, Permission.READ_BILLING}),
            (Role.AUDITOR, {Permission.READ_BILLING}),
        ],
    )
    def test_each_role_may_exactly_this(self, role: Role, allowed: set[Permission]) -> None:
        caller = principal(role=role)

        assert {permission for permission in Permission if caller.may(permission)} == allowed

    @pytest.mark.parametrize(
        ("scope", "allowed"),
        [
            (Scope.CHAT, {Permission.CALL_MODELS}),
            (Scope.BILLING_READ, {Permission.READ_BILLING}),
            (Scope.BILLING_WRITE, {Permission.MANAGE_BILLING}),
        ],
    )
    def test_an_owners_key_reaches_as_far_as_its_scope(self, scope: Scope, allowed: set[Permission]) -> None:
        key = principal(api_key_id="key_1", scopes=frozenset({scope}))

        assert {permission for permission in Permission if key.may(permission)} == allowed

    def test_a_members_key_reaches_no_further_than_the_member(self) -> None:
        key = principal(role=Role.MEMBER, api_key_id="key_1", scopes=frozenset(Scope))

        assert not key.may(Permission.MANAGE_BILLING)

    def test_a_key_with_every_scope_still_cannot_make_keys(self) -> None:
        key = principal(api_key_id="key_1", scopes=frozenset(Scope))

        with pytest.raises(Forbidden) as refusal:
            rules.require(key, Permission.MANAGE_API_KEYS)

        assert refusal.value.facts == {"permission": "api_keys:manage"}


class TestScopesAndExpiry:
    def test_known_scopes_are_taken_once(self) -> None:
        assert rules.check_scopes(["chat", "chat", "billing:read"]) == {Scope.CHAT, Scope.BILLING_READ}

    @pytest.mark.parametrize("scopes", [[], ["everything"], ["chat", "admin"]])
    def test_no_scope_and_unknown_scopes_are_refused(self, scopes: list[str]) -> None:
        with pytest.raises(InvalidInput) as refusal:
            rules.check_scopes(scopes)

        assert refusal.value.field == "scopes"

    def test_a_key_may_never_end(self) -> None:
        assert rules.check_expiry(None, NOW) is None

    @pytest.mark.parametrize(
        "moment", [NOW, NOW - timedelta(seconds=1), (NOW + timedelta(days=1)).replace(tzinfo=None)]
    )
    def test_a_key_cannot_end_now_or_earlier_or_nowhere_in_particular(self, moment: datetime) -> None:
        with pytest.raises(InvalidInput):
            rules.check_expiry(moment, NOW)


class TestSecrets:
    def test_what_is_stored_of_a_secret_is_its_sha256(self) -> None:
        assert rules.digest_of_secret("secret") == hashlib.sha256(b"secret").digest()

    @pytest.mark.parametrize("text", ["", "bk_", "bk_" + "a" * 53, "sk_" + "a" * 54, "bk_" + "a" * 53 + "é"])
    def test_what_cannot_be_a_key_is_seen_without_the_database(self, text: str) -> None:
        assert not rules.is_api_key(text)

    def test_the_shown_part_leaves_more_than_256_bits_hidden(self) -> None:
        secret = "bk_" + "a" * 54

        hidden_letters = len(secret) - len(rules.shown_part(secret))

        assert hidden_letters * 6 > 256


class TestCsrfTokens:
    def test_a_session_knows_its_own(self) -> None:
        assert rules.is_csrf_token_of("session", rules.csrf_token_of("session"))

    @pytest.mark.parametrize("given", ["", "session", "é", rules.csrf_token_of("another session")])
    def test_every_other_one_is_wrong(self, given: str) -> None:
        assert not rules.is_csrf_token_of("session", given)


class TestAttemptSubjects:
    def test_one_customers_ipv6_network_counts_as_one(self) -> None:
        one, _ = rules.attempt_subjects("ada@example.com", "2001:db8:1:2::1")
        other, _ = rules.attempt_subjects("ada@example.com", "2001:db8:1:2:ffff::9")
        stranger, _ = rules.attempt_subjects("ada@example.com", "2001:db8:1:3::1")

        assert one == other
        assert one != stranger

    def test_a_mapped_ipv4_address_counts_as_itself(self) -> None:
        mapped = rules.attempt_subjects("ada@example.com", "::ffff:192.0.2.1")

        assert mapped == rules.attempt_subjects("ada@example.com", "192.0.2.1")

    def test_a_peer_without_an_address_is_counted_all_the_same(self) -> None:
        address, _ = rules.attempt_subjects("ada@example.com", "")

        assert address == "address:unknown"

    def test_the_e_mail_cannot_be_read_back(self) -> None:
        assert not any("ada" in subject for subject in rules.attempt_subjects("ada@example.com", "192.0.2.1"))

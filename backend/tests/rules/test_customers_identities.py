"""One mailbox is one person, however it is spelled; where providers promise nothing, two spellings are two people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.customers.identities import identity_digest, mailbox_of
from billing.customers.rules import normalise_email
from billing.customers.settings import CustomersSettings
from billing.kit.errors import InvalidInput, SettingsError

SECRET = b"a secret of thirty-two letters!!"
LOCAL = st.text("abc.-_+0", min_size=1, max_size=12).filter(lambda text: text.strip(".") == text)
HOST = st.sampled_from(["gmail.com", "googlemail.com", "proton.me", "pm.me", "yandex.ru", "yahoo.com", "example.com"])


class TestOneMailbox:
    @pytest.mark.parametrize(
        ("email", "mailbox"),
        [
            ("ada@example.com", "ada@example.com"),
            ("ada+free@example.com", "ada@example.com"),
            ("ada+free+more@example.com", "ada@example.com"),
            ("a.d.a@gmail.com", "ada@gmail.com"),
            ("ada@googlemail.com", "ada@gmail.com"),
            ("a.d.a+x@googlemail.com", "ada@gmail.com"),
            ("a-d_a@protonmail.com", "ada@proton.me"),
            ("ada@pm.me", "ada@proton.me"),
            ("ada.l@ya.ru", "ada-l@yandex.ru"),
            ("ada-l@yandex.com", "ada-l@yandex.ru"),
            ("ada@me.com", "ada@icloud.com"),
            ("ada-shop@yahoo.co.uk", "ada@yahoo.co.uk"),
            ("whatever@ada.fastmail.com", "ada@fastmail.com"),
            ("ada+x@fastmail.com", "ada@fastmail.com"),
            ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
            ("+tag@example.com", "+tag@example.com"),
            ("...@gmail.com", "...@gmail.com"),
        ],
    )
    def test_has_one_spelling(self, email: str, mailbox: str) -> None:
        assert mailbox_of(email) == mailbox

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a.da@example.com", "ada@example.com"),
            ("ada@hotmail.com", "ada@outlook.com"),
            ("ada-x@example.com", "ada@example.com"),
            ("ada@gmail.com", "ada@gmail.com.example"),
            ("ada@notgmail.com", "a.da@notgmail.com"),
            ("x@adafastmail.com", "x@bobfastmail.com"),
        ],
    )
    def test_is_not_guessed_where_the_provider_tells_two_apart(self, one: str, other: str) -> None:
        assert mailbox_of(one) != mailbox_of(other)

    @pytest.mark.parametrize("email", ["Ada@GMail.COM", "  ada@gmail.com ", "A.DA@googlemail.com"])
    def test_is_the_same_in_every_case(self, email: str) -> None:
        assert mailbox_of(normalise_email(email)) == "ada@gmail.com"

    @pytest.mark.parametrize(
        "look_alike", ["\u0430da@gmail.com", "ada@gm\u00e4il.com", "\uff41da@gmail.com", "ada@gmail\u3002com"]
    )
    def test_has_no_look_alike_because_letters_beyond_ascii_are_refused(self, look_alike: str) -> None:
        with pytest.raises(InvalidInput):
            normalise_email(look_alike)

    @given(LOCAL, HOST)
    def test_is_reached_by_its_one_spelling_too(self, local: str, host: str) -> None:
        mailbox = mailbox_of(f"{local}@{host}")

        assert mailbox_of(mailbox) == mailbox
        assert all(mailbox.partition("@")[::2])

    @given(LOCAL, HOST, st.text("xyz", min_size=1, max_size=5))
    def test_keeps_its_owner_whatever_tag_is_added(self, local: str, host: str, tag: str) -> None:
        untagged = local.partition("+")[0] or local.replace("+", "p")

        assert mailbox_of(f"{untagged}+{tag}@{host}") == mailbox_of(f"{untagged}@{host}")


class TestTheDigest:
    def test_is_that_of_the_mailbox_under_one_secret(self) -> None:
        digest = identity_digest("ada@gmail.com", SECRET)

        assert len(digest) == 32
        assert digest == identity_digest("a.d.a+x@googlemail.com", SECRET)
        assert digest != identity_digest("bob@gmail.com", SECRET)
        assert digest != identity_digest("ada@gmail.com", SECRET + b"!")


class TestTheSecret:
    def test_may_be_missing_in_development_only(self) -> None:
        CustomersSettings().check(is_development=True)

        with pytest.raises(SettingsError, match="BILLING_IDENTITY_SECRET"):
            CustomersSettings().check(is_development=False)

    def test_is_long_enough_and_shown_nowhere(self) -> None:
        settings = CustomersSettings(BILLING_IDENTITY_SECRET=SECRET.decode())

        settings.check(is_development=False)

        assert SECRET.decode() not in repr(settings)

    def test_that_went_before_still_finds_people(self) -> None:
        settings = CustomersSettings(BILLING_IDENTITY_SECRET="new", BILLING_IDENTITY_SECRETS_BEFORE="older oldest")

        assert settings.identity_keys == (b"new", b"older", b"oldest")

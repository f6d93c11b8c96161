"""The tables of accounts, people, sessions, API keys, failed sign-ins and the audit trail."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class AccountRow(Table):
    """Who pays: one person, or an organisation."""

    __tablename__ = "accounts"
    __table_args__ = (CheckConstraint("kind IN ('personal', 'organisation')", name="kind"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    time_zone: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class PersonRow(Table):
    """Somebody who signs in. The operator role stands here and nowhere else."""

    __tablename__ = "people"
    __table_args__ = (
        UniqueConstraint("email"),
        CheckConstraint(r"email = lower(email) AND email !~ '\s'", name="email_is_normalised"),
        CheckConstraint("password_hash LIKE '$argon2id$%'", name="password_is_hashed"),
        CheckConstraint("operator_role IN ('super_admin', 'finance', 'support', 'auditor')", name="operator_role"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    operator_role: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    email_verified_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class MemberRow(Table):
    """What a person is in an account."""

    __tablename__ = "members"
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'admin', 'member', 'auditor')", name="role"),
        Index(None, "person_id"),
    )

    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"), primary_key=True)
    person_id: Mapped[str] = mapped_column(Text, ForeignKey("people.id"), primary_key=True)
    role: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SessionRow(Table):
    """A browser that has signed in; known by the digest of its token."""

    __tablename__ = "sessions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "person_id"], ["members.account_id", "members.person_id"], ondelete="CASCADE"
        ),
        CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),
        CheckConstraint("expires_at > created_at", name="ends_after_it_began"),
        Index(None, "account_id", "person_id"),
        Index(None, "last_seen_at"),
    )

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text)
    person_id: Mapped[str] = mapped_column(Text)
    user_agent: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SignInAttemptRow(Table):
    """How many sign-ins failed for one e-mail or address in the window that is running."""

    __tablename__ = "sign_in_attempts"
    __table_args__ = (CheckConstraint("attempts >= 0", name="not_negative"), Index(None, "window_ends_at"))

    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    attempts: Mapped[int]
    window_ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ApiKeyRow(Table):
    """A key with which programs act for an account; known by the digest of its secret."""

    __tablename__ = "api_keys"
    __table_args__ = (
        UniqueConstraint("digest"),
        CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),
        CheckConstraint("cardinality(scopes) > 0", name="has_scopes"),
        CheckConstraint("cardinality(models) > 0", name="has_models"),
        CheckConstraint("expires_at > created_at", name="ends_after_it_began"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"))
    person_id: Mapped[str] = mapped_column(Text, ForeignKey("people.id"))
    name: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    prefix: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    models: Mapped[list[str] | None] = mapped_column(ARRAY(Text))


class AuditEntryRow(Table):
    """One mutation by one person; the database lets nobody change or delete it."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        CheckConstraint(r"action ~ '^[a-z_]+(\.[a-z_]+)+$'", name="action"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"))
    actor_account_id: Mapped[str] = mapped_column(Text)
    actor_person_id: Mapped[str | None] = mapped_column(Text)
    actor_api_key_id: Mapped[str | None] = mapped_column(Text)
    actor_operator_role: Mapped[str | None] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    before: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    reason: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(Text)
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

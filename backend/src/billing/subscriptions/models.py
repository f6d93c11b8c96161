"""The tables of plans, of who subscribes to them, of the periods that payments bought, and of renewals."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, DateTime, ForeignKey, Index, Integer, Text, text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table

_METRICS = ("input_tokens", "output_tokens", "images", "speech_seconds", "transcription_seconds")


class PlanRow(Table):
    """One plan. Only `retired_at` is ever written after it was made: a payment that names the plan names its terms."""

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("price_micros > 0", name="price"),
        CheckConstraint("interval IN ('month', 'year')", name="interval"),
        CheckConstraint("included_credit_micros >= 0", name="included_credit"),
        CheckConstraint("discount_percent BETWEEN 0 AND 100", name="discount_percent"),
        CheckConstraint("daily_cap_micros >= 0 AND monthly_cap_micros >= 0", name="caps"),
        CheckConstraint(" AND ".join(f"{metric}_quota >= 0" for metric in _METRICS), name="quotas"),
        Index("uq_plans_code_on_offer", "code", unique=True, postgresql_where=text("retired_at IS NULL")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    code: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    price_micros: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    interval: Mapped[str] = mapped_column(Text)
    included_credit_micros: Mapped[int] = mapped_column(BigInteger)
    discount_percent: Mapped[int] = mapped_column(Integer)
    daily_cap_micros: Mapped[int | None] = mapped_column(BigInteger)
    monthly_cap_micros: Mapped[int | None] = mapped_column(BigInteger)
    input_tokens_quota: Mapped[int] = mapped_column(BigInteger)
    output_tokens_quota: Mapped[int] = mapped_column(BigInteger)
    images_quota: Mapped[int] = mapped_column(BigInteger)
    speech_seconds_quota: Mapped[int] = mapped_column(BigInteger)
    transcription_seconds_quota: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    retired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class PlanSubscriptionRow(Table):
    """What one account wants of its plan; the row is the lock under which its periods are written."""

    __tablename__ = "plan_subscriptions"
    __table_args__ = (
        CheckConstraint("NOT will_renew OR method_id IS NOT NULL", name="renews_with_a_method"),
        CheckConstraint("NOT will_renew OR canceled_at IS NULL", name="canceled_does_not_renew"),
    )

    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"), primary_key=True)
    will_renew: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    method_id: Mapped[str | None] = mapped_column(Text)
    canceled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class PlanGrantRow(Table):
    """The period that one payment bought: the payment is its key, so that it can buy only one."""

    __tablename__ = "plan_grants"
    __table_args__ = (
        CheckConstraint("months_before >= 0 AND months > 0", name="months"),
        CheckConstraint("starts_at < ends_at", name="ends_after_it_began"),
        CheckConstraint("credit_taken_micros >= 0", name="credit_taken"),
        CheckConstraint("end_reason IN ('canceled', 'refunded')", name="end_reason"),
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL) AND ended_at < ends_at", name="ended_early"),
        Index("ix_plan_grants_account_id_starts_at", "account_id", "starts_at"),
        Index(
            "uq_plan_grants_account_id_starts_at_live",
            "account_id",
            "starts_at",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "ix_plan_grants_credit_due",
            "starts_at",
            postgresql_where=text("credit_given_at IS NULL AND ended_at IS NULL"),
        ),
        Index("ix_plan_grants_ends_at", "ends_at", postgresql_where=text("ended_at IS NULL")),
    )

    payment_id: Mapped[str] = mapped_column(Text, ForeignKey("payments.id"), primary_key=True)
    account_id: Mapped[str] = mapped_column(Text, ForeignKey("plan_subscriptions.account_id"))
    plan_id: Mapped[str] = mapped_column(Text, ForeignKey("plans.id"))
    anchor_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    months_before: Mapped[int] = mapped_column(Integer)
    months: Mapped[int] = mapped_column(Integer)
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    granted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    credit_given_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    credit_taken_micros: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What of its credit was left and went back when it ended before its time."""
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None] = mapped_column(Text)


class PlanRenewalRow(Table):
    """The automatic payment for the period that begins at `starts_at`: one for each, however many processes try."""

    __tablename__ = "plan_renewals"
    __table_args__ = (
        CheckConstraint("status IN ('open', 'paid', 'given_up', 'superseded')", name="status"),
        CheckConstraint("attempt >= 1", name="attempt"),
        CheckConstraint("(status = 'open') = (due_at IS NOT NULL)", name="open_is_due"),
        Unique("account_id", "starts_at"),
        Index("ix_plan_renewals_due_at", "due_at", postgresql_where=text("status = 'open'")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text, ForeignKey("plan_subscriptions.account_id"))
    plan_id: Mapped[str] = mapped_column(Text, ForeignKey("plans.id"))
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    attempt: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(Text)
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

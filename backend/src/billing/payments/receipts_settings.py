"""The settings of receipts (54-FZ): whether they are made, and what each says of tax."""

from __future__ import annotations

from pydantic import Field

from billing.kit.errors import SettingsError
from billing.kit.settings import SettingsGroup
from billing.payments.receipts_rules import RECEIPT_TEXT_MAX, ReceiptTerms
from billing.payments.rules import AUTO_TOPUP, SUBSCRIPTION, TOPUP

# The values that YooKassa's documentation lists for receipts.
_MODES = "^(full_prepayment|partial_prepayment|advance|full_payment|partial_payment|credit|credit_payment)$"
_SUBJECTS = (
    "^(commodity|excise|job|service|casino|gambling_bet|gambling_prize|lottery|lottery_prize|intellectual_activity|payment"
    "|agent_commission|property_right|non_operating_gain|insurance_premium|sales_tax|resort_fee|composite|another)$"
)


class ReceiptSettings(SettingsGroup):
    """Receipts for the tax office (54-FZ), sent along with payments and refunds at YooKassa."""

    is_enabled: bool = Field(
        alias="BILLING_RECEIPTS_ENABLED",
        default=False,
        description="Every payment and refund at YooKassa carries a receipt, and needs the customer's contact.",
    )
    topup_item: str = Field(
        alias="BILLING_RECEIPTS_TOPUP_ITEM",
        default="Balance top-up",
        max_length=RECEIPT_TEXT_MAX,
        description="The line of a top-up's receipt, 128 characters at the most.",
    )
    plan_item: str = Field(
        alias="BILLING_RECEIPTS_PLAN_ITEM",
        default="Subscription",
        max_length=RECEIPT_TEXT_MAX,
        description="The line of a paid plan's receipt, 128 characters at the most.",
    )
    vat_code: int = Field(
        alias="BILLING_RECEIPTS_VAT_CODE", default=1, ge=1, le=12, description="The rate of VAT; 1 means none."
    )
    payment_mode: str = Field(
        alias="BILLING_RECEIPTS_PAYMENT_MODE",
        default="full_payment",
        pattern=_MODES,
        description="How the payment relates to its service, such as full_payment or advance.",
    )
    payment_subject: str = Field(
        alias="BILLING_RECEIPTS_PAYMENT_SUBJECT",
        default="service",
        pattern=_SUBJECTS,
        description="What is paid for, such as service or payment.",
    )
    tax_system_code: int | None = Field(
        alias="BILLING_RECEIPTS_TAX_SYSTEM_CODE",
        default=None,
        ge=1,
        le=6,
        description="The shop's tax system; only for shops that have several.",
    )

    @property
    def terms(self) -> ReceiptTerms | None:
        """What every receipt says; None where none is made."""
        if not self.is_enabled:
            return None
        return ReceiptTerms(
            items={TOPUP: self.topup_item, AUTO_TOPUP: self.topup_item, SUBSCRIPTION: self.plan_item},
            vat_code=self.vat_code,
            payment_mode=self.payment_mode,
            payment_subject=self.payment_subject,
            tax_system_code=self.tax_system_code,
        )

    def check(self) -> None:
        """Makes sure that what receipts say can be printed.

        Raises:
            SettingsError: a line is blank, or has characters that cannot be printed.
        """
        lines = {"BILLING_RECEIPTS_TOPUP_ITEM": self.topup_item, "BILLING_RECEIPTS_PLAN_ITEM": self.plan_item}
        problems = [
            f"{name} must be a line of printable characters."
            for name, line in lines.items()
            if not line.strip() or not line.isprintable()
        ]
        if problems:
            raise SettingsError(tuple(problems))

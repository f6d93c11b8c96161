"""What the latest activity calls each movement of a wallet."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from billing.kit.money import Currency, Money
from billing.ledger.postings import TransferKind
from billing.pages.views import ActivityKind, ActivityView

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class TestAMovementIsCalledWhatItWas:
    @pytest.mark.parametrize(
        ("kind", "name", "reference", "called"),
        [
            (TransferKind.CREDIT, "credit:pay_1", "pay_1", ActivityKind.TOPUP),
            (TransferKind.CREDIT, "trf_1", "grt_1", ActivityKind.GRANT),
            (TransferKind.CREDIT, "plan_credit:pay_1", "pay_1", ActivityKind.GRANT),
            (TransferKind.REFUND, "refund:ref_1", "pay_1", ActivityKind.REFUND),
            (TransferKind.REFUND, "refund_reversal:ref_1", "pay_1", ActivityKind.REFUND),
            (TransferKind.REFUND, "plan_credit_back:pay_1:0", "pay_1", ActivityKind.EXPIRY),
            (TransferKind.DISPUTE, "dispute:dsp_1", "pay_1", ActivityKind.DISPUTE),
            (TransferKind.ADJUSTMENT, "adj_1", "adj_1", ActivityKind.CORRECTION),
            (TransferKind.WRITE_OFF, "adj_1", "adj_1", ActivityKind.CORRECTION),
            (TransferKind.BREAKAGE, "lot_1", "lot_1", ActivityKind.EXPIRY),
        ],
    )
    def test_by_its_kind_and_what_it_is_about(
        self, kind: TransferKind, name: str, reference: str, called: ActivityKind
    ) -> None:
        line = ActivityView.of_transfer(kind, NOW, Money(1_000_000, Currency("RUB")), name=name, reference=reference)

        assert line.kind is called

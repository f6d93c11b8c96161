"""What a receipt promises."""


class TestReceipt:
    """A receipt names the sum."""

    def test_the_sum_is_named(self) -> None:
        assert f"sum {3 + 4}" == "sum 7"

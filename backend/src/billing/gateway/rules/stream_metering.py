"""What reads a streamed answer event by event: passes it on, counts it, and ends it in one of three ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from billing.gateway.rules.metering import Measured
from billing.gateway.rules.sse import ServerSentEvent
from billing.kit.errors import BillingError
from billing.kit.money import Money
from billing.usage.rules import BillingSource
from billing.wallets.rules import OperationId


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an operation was charged, and what a next call could take."""

    operation_id: OperationId
    charged: Money
    balance: Money
    billing_source: BillingSource

    def to_json(self) -> dict[str, str]:
        """The receipt as it stands in a stream's last event: exact decimals of one currency."""
        return {
            "operation": self.operation_id,
            "charged": self.charged.to_decimal(),
            "currency": self.charged.currency,
            "balance": self.balance.to_decimal(),
            "source": self.billing_source.value,
        }


class StreamMeter(Protocol):
    """Reads one streamed answer. What it counts depends on the events alone, never on how their bytes were cut (G6)."""

    def see(self, event: ServerSentEvent) -> bytes:
        """The provider's next event as the client gets it; no bytes where it is meant for us alone.

        Raises:
            UpstreamBroken: it makes no sense, or says that the provider failed.
        """
        ...

    @property
    def has_delivered(self) -> bool:
        """Something that the model made was passed on."""
        ...

    @property
    def is_finished(self) -> bool:
        """The provider said that this was all."""
        ...

    @property
    def model_used(self) -> str:
        """What the provider calls the model that answers."""
        ...

    def measured(self) -> Measured:
        """The provider's count where it is there and can be meant, else our own of what was passed on so far."""
        ...

    def closing(self, receipt: Receipt) -> bytes:
        """The last bytes once all is booked: usage and cost if the client asked for usage, then the door's end mark."""
        ...

    def stopped(self, refusal: BillingError, receipt: Receipt) -> bytes:
        """The last bytes where money ran out: an event that says so cleanly, then the door's end mark."""
        ...

    def broken(self, error: BillingError) -> bytes:
        """The last bytes where the provider broke off or the charge could not be booked: an error event."""
        ...

"""Tells a provider that answers nobody from one of its objects that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderFailure,
    ProviderRateLimited,
    ProviderRefusedUs,
    ProviderUnavailable,
)
from billing.payments.ports import PaymentProvider

CANNOT_BE_ASKED = (ProviderUnavailable, ProviderAmbiguous, ProviderRateLimited, ProviderRefusedUs)
"""How a call ends that a provider as a whole, or one of its objects alone, does not answer."""

_LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
_A_SECOND = timedelta(seconds=1)


async def is_provider_down(provider: PaymentProvider, failure: ProviderFailure) -> bool:
    """Whether a failure out of `CANNOT_BE_ASKED` is the provider's; else it is about the one object asked about.

    An object whose record its provider cannot show fails like an outage, for as long as nobody there mends it. So the
    provider is asked something that is about no object: for the payments of a second in which nobody had any. Each
    failure asks anew, which also keeps the circuit breaker from taking single objects for an outage.
    """
    if isinstance(failure, ProviderRateLimited):
        return True
    try:
        async for _ in provider.list_payments(since=_LONG_AGO, until=_LONG_AGO + _A_SECOND):
            return False
    except CANNOT_BE_ASKED:
        return True
    except ProviderFailure:
        # It answers, if only to this.
        return False
    return False

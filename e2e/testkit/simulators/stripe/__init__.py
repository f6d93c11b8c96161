"""Stripe's API v1 with its Checkout page and its signed events."""

from testkit.simulators.stripe.app import StripeSettings, create_stripe

__all__ = ["StripeSettings", "create_stripe"]

"""Money that comes in: top-ups through a payment provider, each credited exactly once."""

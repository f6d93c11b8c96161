"""Balances, credit lots and holds: what a customer can spend, and what is set aside for calls under way."""

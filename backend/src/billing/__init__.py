"""Prepaid billing for AI products: wallets with holds, a double-entry ledger, top-ups and a gateway."""

__version__ = "0.1.0"

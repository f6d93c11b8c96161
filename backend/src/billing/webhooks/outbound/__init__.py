"""Webhooks to customers: what happened to an account, told to the addresses that its people named."""

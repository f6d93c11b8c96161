"""Usage events: what each operation used and what it was charged, one row per operation."""

"""How requests reach model providers."""

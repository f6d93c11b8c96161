"""Free quotas: what a newcomer may use before paying, reserved before each call and counted after it."""

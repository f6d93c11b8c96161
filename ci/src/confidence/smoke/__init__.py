"""The guard of the gate: small projects with a known fault each, which the real command must refuse."""

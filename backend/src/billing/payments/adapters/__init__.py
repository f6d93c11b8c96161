"""One file per payment provider; only the wiring knows which one runs."""

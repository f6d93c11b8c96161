"""Outside parties as honest, stateful HTTP servers on loopback, against which the official client libraries work."""

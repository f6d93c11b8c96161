"""The gateway's pure decisions: what is asked for, what it can cost, what was delivered, what may be passed on."""

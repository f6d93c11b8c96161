"""Double entry and nothing else: transfers, their entries, and the proof that they add up."""

"""What the runner talks about: plans, events, endings, evidence and verdicts, as plain frozen values."""

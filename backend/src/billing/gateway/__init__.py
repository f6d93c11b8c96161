"""The OpenAI-compatible door: quote, set aside, forward, meter, settle."""

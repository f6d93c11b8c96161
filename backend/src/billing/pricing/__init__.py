"""Rate cards, and the price of a quantity."""

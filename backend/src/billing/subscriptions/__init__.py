"""The paid plan of one customer: what is on offer, which periods are paid, what they give, and what renews them."""

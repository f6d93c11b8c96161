"""HTML for customers: the wallet, the playground and the way in, drawn on the server."""

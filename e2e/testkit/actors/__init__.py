"""People who act on the product over HTTP, to prepare what a story or a page begins with."""

"""What browser tests and the demo share: the stack, the simulators, pages and actors."""

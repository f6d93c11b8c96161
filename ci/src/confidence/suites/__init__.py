"""What is to be run: the configuration, what the environment changes in it, and the frozen plan."""

"""Runs the suites of a plan: run directory, lock, processes, watchdog, and several suites side by side."""

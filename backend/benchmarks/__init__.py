"""Benchmarks of the product: each compares two things in one run, because absolute times only inform."""

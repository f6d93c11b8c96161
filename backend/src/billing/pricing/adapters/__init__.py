"""Formats of files that pricing reads and writes."""

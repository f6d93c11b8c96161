"""The real clock, processes and working tree behind the interfaces of ``ports``."""

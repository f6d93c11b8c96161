"""Coverage plugin: keeps the main greenlet of every measured thread, so that measuring never hangs the process.

Coverage that knows greenlets asks every thread for its current greenlet, which makes one for each thread. When a thread
has ended, greenlet frees that one from the main thread, in a pending call of the interpreter, and coverage's weak
reference to it then runs Python code there. CPython 3.11 does not survive this when another thread ends meanwhile: to
trace the first instruction of a function it looks for pending calls again and again, and those wait for the one that
runs. A greenlet that is not freed calls nobody; it is a few hundred bytes for each thread of a test run.
"""

from __future__ import annotations

import sys

import greenlet  # type: ignore[import-untyped] # it ships no types, and one class of it is used
from coverage.collector import Collector
from coverage.types import TConfigurable, TPluginConfig, TTraceFn

_kept: list[greenlet.greenlet] = []


def coverage_init(_registry: TConfigurable, _options: TPluginConfig) -> None:
    """Called by coverage before it measures; patches the one place where it begins with a thread."""
    if sys.version_info >= (3, 12):
        return  # there the interpreter traces in another way
    begin = Collector._start_tracer  # noqa: SLF001 - there is no public hook for the start of a thread

    def begin_and_keep(collector: Collector) -> TTraceFn | None:
        _kept.append(greenlet.getcurrent())
        return begin(collector)

    Collector._start_tracer = begin_and_keep  # type: ignore[assignment] # noqa: SLF001 - as above

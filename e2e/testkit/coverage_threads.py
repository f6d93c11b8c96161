"""Coverage plugin: keeps measured threads from hanging their process, and makes measuring greenlets cheaper.

Coverage that knows greenlets asks every thread for its current greenlet, which makes one for each thread. When a thread
has ended, greenlet tidies up from the main thread, in a pending call of the interpreter. CPython 3.11 does not survive
Python code there when another thread ends meanwhile: to trace the first instruction of a function it looks for pending
calls again and again, and those wait for the one that runs. There are three ways to such code, and both measures are
needed: coverage's weak reference when the greenlet is freed, so greenlets are kept, a few hundred bytes for each;
greenlet's search for leaks, which imports `gc`; and that search again where `gc.freeze()` hides from it who keeps a
greenlet, so that it frees one that is still ours. Nobody searches here.

Where greenlets are kept anyway, a plain dictionary can find the current one's number. Coverage's own index is a
`weakref.WeakKeyDictionary`, which is written in Python, and is asked at every call and every return of any function.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any

import greenlet  # type: ignore[import-untyped] # it ships no types, and one class of it is used
import greenlet._greenlet as greenlet_internals  # type: ignore[import-untyped] # as above
from coverage.collector import Collector
from coverage.types import TConfigurable, TPluginConfig, TTraceFn

_kept: list[greenlet.greenlet] = []
_weakly = weakref.WeakKeyDictionary


class _Index(dict[Any, int]):
    """Coverage's number for each greenlet it has met in one thread; keeps them all."""


def coverage_init(_registry: TConfigurable, _options: TPluginConfig) -> None:
    """Called by coverage before it measures; patches the one place where it begins with a thread."""
    if sys.version_info >= (3, 12):
        return  # there the interpreter traces in another way
    greenlet_internals.enable_optional_cleanup(False)
    begin = Collector._start_tracer  # noqa: SLF001 - there is no public hook for the start of a thread

    def begin_and_keep(collector: Collector) -> TTraceFn | None:
        _kept.append(greenlet.getcurrent())
        weakref.WeakKeyDictionary = _Index  # type: ignore[assignment,misc] # what the tracer asks for at its first call
        try:
            traced = begin(collector)
            _first_call()
        finally:
            weakref.WeakKeyDictionary = _weakly  # type: ignore[misc] # as above
        return traced

    Collector._start_tracer = begin_and_keep  # type: ignore[assignment] # noqa: SLF001 - as above


def _first_call() -> None:
    """Is called where it shall be seen: the tracer makes its index then."""

"""Modules and functions stay small enough to be read in one go."""

from __future__ import annotations

import ast

from backend.tests.architecture.sources import modules, tree_of

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70


class TestSizes:
    def test_no_module_is_longer_than_five_hundred_lines(self) -> None:
        """What does not fit into a head is changed without being understood."""
        lengths = {name: len(source.splitlines()) for name, source in modules()}

        assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES_MAX} == {}

    def test_no_function_is_longer_than_seventy_lines(self) -> None:
        """A function that needs scrolling has more than one reason to change."""
        lengths = {
            f"{name}::{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
            for name, source in modules()
            for node in ast.walk(tree_of(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

        assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}

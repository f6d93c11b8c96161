"""The repository builds on any machine, from any index."""

from __future__ import annotations

import re

import pytest

from backend.tests.architecture.sources import ROOT, Line, text_of, tracked_files

# Put together, so that this file does not find itself.
_REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "python" + "hosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("proxy", "golang", "org"),
        ("static", "crates", "io"),
        ("index", "crates", "io"),
        ("playwright", "azureedge", "net"),
    )
)
# A folder of somebody's machine. What every Debian has (/usr/bin, /etc, /tmp, /dev, /proc) is no such folder.
_SOMEBODYS_FOLDER = re.compile(r"(?<![\w./:}>-])/(?:home|Users|root|work|workspace|builds|mnt|opt)/[\w.-]+")

# Where this clone lies; a folder directly under the root (such as /src) is a word of too many other paths.
_THIS_FOLDER = re.compile(rf"(?<![\w./-]){re.escape(str(ROOT))}(?![\w-])" if len(ROOT.parts) > 2 else "(?!)")


def addresses_in(name: str, text: str) -> list[Line]:
    return [
        Line(name, number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if any(host in line for host in _REGISTRIES) or _SOMEBODYS_FOLDER.search(line) or _THIS_FOLDER.search(line)
    ]


class TestAddresses:
    def test_no_tracked_file_names_a_package_registry_or_a_folder_of_somebodys_machine(self) -> None:
        """An index address pins us to one network, and a path to one laptop; elsewhere the build breaks."""
        found = [
            line
            for path in tracked_files()
            for line in addresses_in(path.relative_to(ROOT).as_posix(), text_of(path) or "")
        ]

        assert [str(line) for line in found] == []

    @pytest.mark.parametrize(
        "line",
        ["--index-url https://" + _REGISTRIES[0] + "/simple", 'cache = "' + "/home/" + 'somebody/cache"', str(ROOT)],
    )
    def test_the_check_sees_one(self, line: str) -> None:
        assert addresses_in("file", line)

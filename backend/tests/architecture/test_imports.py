"""Importing a module reads nothing and opens nothing."""

from __future__ import annotations

import json
import subprocess
import sys

from backend.tests.architecture.sources import ROOT

# Runs in a process of its own, where nothing of ours was imported before. Python's own reading of modules is no
# offence, and neither is what other people's packages do; only what a frame of ours asks for.
_IMPORT_EVERYTHING = """
import json, os, pkgutil, sys
from collections.abc import MutableMapping

offences = []
OURS = os.path.join("src", "billing") + os.sep

def asker():
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "importlib" in name or name.startswith("<frozen importlib"):
            return None
        if OURS in name:
            return f"{name.partition(OURS)[2]}:{frame.f_lineno}"
        if "site-packages" in name:
            return None
        frame = frame.f_back
    return None

class Watched(MutableMapping):
    def __init__(self, real):
        self._real = real
    def _note(self, what):
        where = asker()
        if where:
            offences.append(f"{where} reads the environment: {what}")
    def __getitem__(self, key):
        self._note(key)
        return self._real[key]
    def __setitem__(self, key, value):
        self._note(key)
        self._real[key] = value
    def __delitem__(self, key):
        self._note(key)
        del self._real[key]
    def __iter__(self):
        self._note("all of it")
        return iter(self._real)
    def __len__(self):
        return len(self._real)
    def copy(self):
        return dict(self._real)

os.environ = Watched(os.environ)
WATCHED_EVENTS = ("open", "socket.", "subprocess.Popen", "os.system", "os.listdir", "os.scandir", "sqlite3.connect")

def hook(event, arguments):
    if event.startswith(WATCHED_EVENTS):
        where = asker()
        if where:
            offences.append(f"{where} {event} {arguments[:1]}")

sys.addaudithook(hook)
import billing
seen = []
for module in pkgutil.walk_packages(billing.__path__, "billing."):
    if module.name not in ("billing.migrations.env", "billing.__main__"):
        __import__(module.name)
        seen.append(module.name)
print(json.dumps({"offences": offences, "modules": seen}))
"""


def import_everything(program: str = _IMPORT_EVERYTHING) -> dict[str, list[str]]:
    """Imports every module of the product in a fresh process, and says what they did meanwhile."""
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    answer: dict[str, list[str]] = json.loads(child.stdout.splitlines()[-1])
    return answer


class TestImports:
    def test_importing_any_module_reads_no_environment_and_opens_nothing(self) -> None:
        """Otherwise a test, a command or a docs build talks to a database because it mentioned a class."""
        answer = import_everything()

        assert answer["offences"] == []
        assert len(answer["modules"]) > 100

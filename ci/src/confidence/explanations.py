"""Explains a gate or an exit code to the person who met it."""

import inspect

from confidence.exit_codes import MEANINGS, ExitCode
from confidence.gates import GATES
from confidence.suites.errors import ConfigurationError
from confidence.suites.tables import nearest


def explanation_of(word: str) -> str:
    """What a gate asks for, or what an exit code means.

    Args:
        word: the name of a gate, or the number or name of an exit code.

    Raises:
        ConfigurationError: it is neither.
    """
    code = _code_of(word)
    if code is not None:
        return f"exit code {code.value} ({_name_of(code)})\n{MEANINGS[code]}"
    gate = GATES.get(word)
    if gate is None:
        known = [*GATES, *(_name_of(code) for code in ExitCode)]
        raise ConfigurationError(f"there is no gate or exit code {word!r}{nearest(word, known)}")
    asked = inspect.getdoc(inspect.getmodule(type(gate))) or ""
    why = inspect.getdoc(type(gate)) or ""
    return f"gate {word}\n{asked.removeprefix('Gate: ')}\n{why}"


def _code_of(word: str) -> ExitCode | None:
    for code in ExitCode:
        if word in {str(code.value), _name_of(code)}:
            return code
    return None


def _name_of(code: ExitCode) -> str:
    return code.name.lower().replace("_", "-")

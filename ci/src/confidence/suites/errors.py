"""Why a configuration or a request cannot be understood.

ConfigurationError
"""


class ConfigurationError(Exception):
    """The configuration, the command line or the environment asks for something that makes no sense; nothing starts."""

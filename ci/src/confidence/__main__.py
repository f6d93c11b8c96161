"""``python -m confidence``: the command line, for where the script is not on PATH."""

from confidence.cli import main

main()

"""Run `scaffold` on releases of the tests' own: command.py HISTORY ARGUMENT..."""

import sys
from pathlib import Path

from scaffold import cli, releases

history = Path(sys.argv.pop(1))
releases.history_folder = lambda: history
cli.main()

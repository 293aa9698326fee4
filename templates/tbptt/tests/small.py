"""Settings with which a run takes seconds, for the tests."""

import sysconfig
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))
SMALL = {
    "text": (str(LIBRARY / "argparse.py"), str(LIBRARY / "cmd.py")),
    "hidden": 32,
    "max_epochs": 4,
    "batch_windows": 8,
}

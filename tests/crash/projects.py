"""Runs of a generated project: trained through kills, and compared."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from crash import comparison, driver
from crash.driver import Kill, Processes

SETTINGS = {"width": "4", "max_epochs": "4", "log_every": "1"}
PRELOAD = ("scaffold_runtime", "scaffold_runtime.report", *driver.LIBRARIES)


def command_line(project: Path, settings: dict[str, str]) -> list[str] | None:
    """Return the options for these settings, or None if the project lacks one of them."""
    sources = [project / "train.py", *project.glob("scaffold_runtime/*settings.py")]
    text = "".join(source.read_text() for source in sources)
    if not settings.keys() <= set(re.findall(r"^    (\w+): .* = ", text, re.MULTILINE)):
        return None
    options: list[str] = []
    for name, value in (SETTINGS | settings).items():
        option = f"--{name.replace('_', '-')}"
        options += [option] if value == "True" else [option, value]
    return options


def train(
    processes: Processes,
    project: Path,
    name: str,
    options: Sequence[str],
    kills: Sequence[Kill] = (),
) -> int:
    """Train through these kills until the run is complete; return how many there were."""
    arguments = ["train.py", "--run", name, *options]
    output = project / f"{name}.txt"
    for killed, kill in enumerate((*kills, driver.NO_KILL)):
        saved = any((project / "runs" / name / "checkpoints").glob("last*.pt"))
        action = ["--resume"] if saved else ["--overwrite"] if killed else []
        status = processes.run([*arguments, *action], project, kill, output=output.name)
        if status == 0:
            return killed
        if status != -signal.SIGKILL or kill is driver.NO_KILL:
            raise driver.Failed(f"status {status} of {arguments}:\n{output.read_text()}")
    raise AssertionError


def differences(project: Path, unbroken: str, killed: str) -> list[str]:
    """Return what differs between the results of two runs of a project."""
    theirs, ours = (project / "runs" / name for name in (unbroken, killed))
    # Which older states are left depends on where the writing was cut.
    names = [sorted(names_of(run / "checkpoints")) for run in (theirs, ours)]
    found = [f"checkpoints are {names[1]}, not {names[0]}"] if names[0] != names[1] else []
    found += comparison.text_differences(theirs / "metrics.jsonl", ours / "metrics.jsonl")
    for name in set(names[0]) & set(names[1]):
        files = (run / "checkpoints" / name for run in (theirs, ours))
        found += comparison.file_differences(*files)
    # The settings in a checkpoint name the run.
    return [each for each in found if " settings.run is " not in each][: comparison.MANY]


def names_of(folder: Path) -> set[str]:
    """Return the names of the checkpoints in a folder but for the states before the newest."""
    return {path.name for path in folder.iterdir() if not path.name.startswith("last-")}

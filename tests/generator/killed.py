"""
Stop `scaffold new` at its n-th step, for n = 1, 2, ... until it ends by itself.

    killed.py HISTORY FOLDER SIGNAL [--keep-git]

A step is a change of a folder or the start of a process. After each stop one
line of JSON says what lay in the folder, and what lies there after the next,
undisturbed `scaffold new` of the same project.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import copier  # noqa: F401  # Loaded once; each attempt is a fork of this process.
from comparing import contents

from scaffold import cli, releases

STEPS = ("mkdir", "rename", "rmdir", "remove", "chmod", "Popen", "copyfile", "rmtree")


def main(history: str, folder: str, stop: str, keep_git: bool) -> None:
    releases.history_folder = lambda: Path(history)
    for number in count(1):
        parent = Path(folder, str(number))
        parent.mkdir()
        if keep_git:
            git(parent, "init", "--quiet", "new")
            git(parent / "new", "config", "mine.kept", "yes")
        status = in_a_fork(parent, number, getattr(signal, stop))
        after = state(parent)
        again = in_a_fork(parent, None, None) if after["beside"] and not after["files"] else None
        print(json.dumps({"status": status, "after": after, "again": again, "end": state(parent)}))
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return


def in_a_fork(parent: Path, stop_at: int | None, signal_number: int | None) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    steps = 0

    def count_steps(event: str, arguments: Any) -> None:
        nonlocal steps
        opened_to_write = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        changes = opened_to_write or event.rpartition(".")[2] in STEPS
        if changes and (event == "subprocess.Popen" or str(parent) in str(arguments)):
            steps += 1
            if steps == stop_at:
                os.kill(os.getpid(), signal_number or 0)

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.chdir(parent)
    sys.argv = ["scaffold", "new", "new", "--template", "supervised", "--defaults", "--set"]
    sys.argv.append("project_name=fresh")
    sys.addaudithook(count_steps)
    try:
        cli.main()
    except SystemExit as end:
        os._exit(int(end.code or 0))
    os._exit(99)


def state(parent: Path) -> dict[str, Any]:
    new = parent / "new"
    files = contents(new) if new.exists() else {}
    config = new / ".git" / "config"
    return {
        "files": len(files),
        "kept": config.exists() and "kept = yes" in config.read_text(),
        "beside": sorted(path.name for path in parent.iterdir() if path.name != "new"),
    }


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], keep_git="--keep-git" in sys.argv)

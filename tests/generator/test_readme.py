"""The story in our README is true: its commands are run, and print what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scaffold import releases

TOLD = ("0.1.0", "0.2.0", "0.3.0")  # The releases that there are in the story.


@pytest.mark.slow
def test_the_story_of_an_update_is_true(repository: Path, tmp_path: Path) -> None:
    """Each line that begins with $ is typed, and prints the lines below it; `...` is anything."""
    history, programs = tmp_path / "history", tmp_path / "programs"
    history.mkdir()
    programs.mkdir()
    for version in TOLD:
        shutil.copy(repository / releases.HISTORY / f"{version}.zip", history)
    command = Path(__file__).with_name("command.py")
    (programs / "scaffold").write_text(
        f'#!/bin/sh\nexec {sys.executable} {command} {history} "$@"\n'
    )
    (programs / "scaffold").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GIT_EDITOR": "true"}
    folder = tmp_path
    typed = story(repository)
    assert {"scaffold status", "scaffold update"} <= {line for line, _ in typed}
    for line, printed in typed:
        if line.startswith("cd "):
            folder = folder / line[3:]
            continue
        done = subprocess.run(
            ["sh", "-c", line], cwd=folder, env=environment, stdin=-3, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert re.fullmatch(pattern(printed), done.stdout), (line, done.stdout)


def story(repository: Path) -> list[tuple[str, list[str]]]:
    """Return what is typed in the section, and for each line what is printed."""
    readme = (repository / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Keep it current\n")[2].partition("\n## ")[0]
    typed: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```\n(.*?)```", section, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                typed.append((line[2:], []))
            else:
                typed[-1][1].append(line)
    return typed


def pattern(printed: list[str]) -> str:
    lines = [r"(.*\n)*" if line == "..." else re.escape(f"{line}\n") for line in printed]
    return "".join(lines).replace(re.escape(">>>>>>> ..."), ">>>>>>> .*")

"""Whatever stops `scaffold new`, and whenever: nothing, or the whole project."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("keep_git", [False, True], ids=["missing", "only .git"])
@pytest.mark.parametrize("stop", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_stopped_command_leaves_nothing_or_the_whole(
    small: Path, tmp_path: Path, stop: str, keep_git: bool
) -> None:
    """Stopped at any step, no part of a project shows; the next command leaves nothing beside."""
    attempts = stopped(small, tmp_path, stop, keep_git)
    whole = attempts[-1]["after"]
    assert whole["files"] == 12
    assert len(attempts) > 20  # There were steps to stop at.
    for attempt in attempts:
        assert attempt["after"]["files"] in (0, whole["files"])
        assert attempt["again"] in (0, None)
        if attempt["again"] == 0:
            assert attempt["end"] == whole
        if stop != "SIGKILL":  # Asked to end, it clears up and says so by its status.
            assert os.waitstatus_to_exitcode(attempt["status"]) in (0, 128 + signal.Signals[stop])
            assert attempt["after"]["beside"] == []
            assert attempt["after"]["kept"] == keep_git
    assert whole["kept"] == keep_git


def test_a_project_that_is_being_made_is_left_alone(small: Path, tmp_path: Path) -> None:
    """A second command for the same folder takes nothing from a first one that is at work."""
    first = at_work(tmp_path)
    assert new(small, tmp_path, "torch").returncode == 2
    first.communicate("\n", timeout=20)
    assert first.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["first.txt"]


def test_of_two_commands_for_a_folder_one_wins(small: Path, tmp_path: Path) -> None:
    """The faster of two commands makes its project whole; the other one leaves nothing."""
    first = at_work(tmp_path)
    assert new(small, tmp_path, "fresh").returncode == 0
    _, errors = first.communicate("\n", timeout=20)
    assert "ScaffoldError: cannot make" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert not (tmp_path / "new" / "first.txt").exists()
    assert (tmp_path / "new" / "train.py").exists()


def at_work(folder: Path) -> subprocess.Popen[str]:
    """Start to make a project `new` that holds one file, and wait in the middle."""
    code = (
        "from scaffold import place\n"
        "with place.building(place.find('new')) as folder:\n"
        "    (folder / 'first.txt').touch(); print('ready', flush=True); input()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, text=True, stdin=-1, stdout=-1, stderr=-1
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def new(history: Path, folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "command.py"), str(history), "new", "new"]
    command += ["--template", "supervised", "--set", f"project_name={name}"]
    return subprocess.run(
        command, cwd=folder, stdin=-3, capture_output=True, text=True, check=False
    )


def stopped(history: Path, folder: Path, stop: str, keep_git: bool) -> list[dict[str, Any]]:
    """Stop the command at each of its steps, and return what came of each attempt."""
    done = subprocess.run(
        [sys.executable, str(HERE / "killed.py"), str(history), str(folder), stop]
        + ["--keep-git"] * keep_git,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]

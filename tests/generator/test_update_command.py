"""`scaffold status`, `diff` and `update` as they are typed: words, exit statuses, time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from comparing import contents
from quickness import cpu_time, least

from scaffold import releases
from scaffold.releases import File, Release

COMMAND = Path(__file__).with_name("command.py")


class Scaffold(Protocol):
    """Run the command in the project `mine`, or in another folder."""

    def __call__(self, *arguments: str, at: str = "mine") -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def scaffold(small_files: Mapping[str, File], tmp_path: Path) -> Scaffold:
    """Run the command on two releases, of which the second has another model and README."""
    history = tmp_path / "history"
    history.mkdir()
    releases.write(Release("0.1.0", small_files), history)
    newer = {"model.py": b"LAYERS = 3\n", "sweep.py": b"print('sweep')\n"}
    changed = {f"templates/supervised/{path}": File(text) for path, text in newer.items()}
    releases.write(Release("0.2.0", {**small_files, **changed}), history)

    def run(*arguments: str, at: str = "mine") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(COMMAND), str(history), *arguments]
        return subprocess.run(
            command, cwd=tmp_path / at, stdin=-3, capture_output=True, text=True, check=False
        )

    made = run(
        "new", "mine", "--template", "supervised", "--release", "0.1.0",
        "--set", "project_name=digits", at=".",
    )  # fmt: skip
    assert made.stdout.startswith("Made mine from the template supervised, release 0.1.0.")
    return run


def test_a_project_that_is_behind(scaffold: Scaffold, tmp_path: Path) -> None:
    """`status` ends with 1 and `diff` shows a patch; after `update`, `status` ends with 0."""
    behind = scaffold("status")
    assert (behind.returncode, behind.stderr) == (1, "")
    assert "model.py       -    changed   changed" in behind.stdout
    assert json.loads(scaffold("status", "--json").stdout)["up_to_date"] is False
    assert "\n-LAYERS = 2\n+LAYERS = 3\n" in scaffold("diff").stdout
    assert " model.py      | 2 +-\n" in scaffold("diff", "--stat").stdout

    done = scaffold("update")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "Update from Scaffold 0.1.0 to 0.2.0, template supervised: 3 files, commit "
    )
    up_to_date = scaffold("status")
    assert (up_to_date.returncode, up_to_date.stdout.splitlines()[-1]) == (0, "Up to date.")
    assert scaffold("diff").stdout == ""
    nothing = scaffold("update")
    assert (nothing.returncode, nothing.stdout.count("\n")) == (0, 1)


def test_a_conflict_ends_with_one(scaffold: Scaffold, tmp_path: Path) -> None:
    """With conflicts `update` ends with 1, in a dry run too; in between, every command with 2."""
    (tmp_path / "mine" / "model.py").write_text("LAYERS = 9\n")
    subprocess.run(["git", "commit", "-qam", "Mine"], cwd=tmp_path / "mine", check=True)
    before = contents(tmp_path / "mine")
    assert scaffold("update", "--dry-run").returncode == 1
    assert contents(tmp_path / "mine") == before
    assert scaffold("update").returncode == 1
    for command in ("status", "diff", "update"):
        done = scaffold(command)
        shown = "mine: template supervised, release 0.2.0, the newest\n"
        assert (done.returncode, done.stdout) == (2, shown if command == "status" else "")
        assert "a cherry-pick is in progress" in done.stderr
        assert done.stderr.count("\n") == 1


def test_status_without_a_repository_says_what_it_can(scaffold: Scaffold, tmp_path: Path) -> None:
    """Template and releases need no git; the status is 2, for the files are not known."""
    shutil.rmtree(tmp_path / "mine" / ".git")
    done = scaffold("status")
    shown = "mine: template supervised, release 0.1.0; the newest is 0.2.0\n"
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, shown, 1)
    assert "lies in no git repository" in done.stderr
    said = json.loads(scaffold("status", "--json").stdout)
    assert (said["version"], said["newest"], said["up_to_date"]) == ("0.1.0", "0.2.0", False)
    assert "lies in no git repository" in said["problem"]


def test_without_a_commit_the_way_back_is_named(scaffold: Scaffold, tmp_path: Path) -> None:
    """--no-commit says how to go on and how to go back, and that is so."""
    before = contents(tmp_path / "mine")
    done = scaffold("update", "--no-commit")
    assert "3 files, staged, not committed\n" in done.stdout
    assert contents(tmp_path / "mine") != before
    command = done.stdout.splitlines()[-1].partition("to go back to where you were: ")[2]
    subprocess.run(command.split(), cwd=tmp_path / "mine", check=True)
    assert contents(tmp_path / "mine") == before


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_slip_of_ours_is_one_line(tmp_path: Path, debug: str) -> None:
    """What we did not think of is said to be ours, with status 70; the variable shows where."""
    code = (
        "import sys\nfrom scaffold import cli, project\n"
        "def slip(**_): raise ZeroDivisionError('x' * 5000)\n"
        "project.catalogue, sys.argv = slip, ['scaffold', 'list']\ncli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SCAFFOLD_DEBUG": debug},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == ""
    if debug:
        assert "in slip" in done.stderr
    else:
        assert (done.returncode, done.stderr.count("\n")) == (70, 1)
        assert "this is a mistake in Scaffold" in done.stderr
        assert "SCAFFOLD_DEBUG=1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("update --to 0.1.5", "there is no release '0.1.5'; did you mean '0.1.0'?"),
        ("update --to abc", "there is no release 'abc'; the newest is"),
        ("update --to 9.0.0", "there is no release 9.0.0 here, the newest that this tool has"),
        ("update --set autor=x", "there is no question 'autor'; did you mean 'author'?"),
        ("update --to=", "--to is empty; say which release"),
        ("update --dryrun", "no such option: --dryrun; did you mean '--dry-run'?"),
        ("updat", "no such command 'updat'; did you mean 'update'?"),
        ("status --jsn", "no such option: --jsn; did you mean '--json'?"),
        ("diff train.py", "got unexpected extra argument"),
    ],
)
def test_a_mistake_is_one_line(
    scaffold: Scaffold, tmp_path: Path, arguments: str, line: str
) -> None:
    """Whatever is typed wrongly is one line with exit status 2, and nothing changes."""
    before = contents(tmp_path / "mine")
    done = scaffold(*arguments.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert line in done.stderr
    assert contents(tmp_path / "mine") == before


@pytest.mark.parametrize("command", ["status", "diff", "update"])
def test_outside_of_a_project_there_is_nothing_to_update(
    scaffold: Scaffold, tmp_path: Path, command: str
) -> None:
    """Where no record lies, one line says so."""
    done = scaffold(command, at=".")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "is no project of Scaffold's: no .scaffold.yml" in done.stderr


def test_a_patch_may_be_read_by_somebody_who_stops(scaffold: Scaffold, tmp_path: Path) -> None:
    """`scaffold diff | head -1` says nothing about it."""
    (tmp_path / "mine" / "model.py").write_text("x = 1\n" * 100_000)
    line = f"{sys.executable} {COMMAND} {tmp_path / 'history'} diff | head -1"
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path / "mine", capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("diff --git ")


@pytest.mark.parametrize(("command", "limit"), [("status", 1.5), ("diff", 1.5), ("update", 2.5)])
def test_the_command_is_quick(repository: Path, tmp_path: Path, command: str, limit: float) -> None:
    """CPU time on a default project of the first release, with all processes: 1.5 s, 2.5 s."""
    history = repository / releases.HISTORY
    oldest = releases.versions(history)[0]
    run(history, tmp_path, "new", "mine", "--template", "supervised", "--release", oldest)

    def measured(number: int) -> float:
        shutil.copytree(tmp_path / "mine", tmp_path / str(number))
        return cpu_time(lambda: run(history, tmp_path / str(number), command))

    assert least(measured, limit) < limit


def run(history: Path, folder: Path, *arguments: str) -> Any:
    command = [sys.executable, str(COMMAND), str(history), *arguments]
    done = subprocess.run(
        command, cwd=folder, stdin=-3, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr

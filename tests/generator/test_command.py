"""The command line: what it shows, what it refuses, and how fast it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
from quickness import cpu_time, least

from scaffold import __version__

HERE = Path(__file__).parent
HEAVY = (
    "copier",
    "rich",
    "yaml",
    "jinja2",
    "pydantic",
    "scaffold.git",
    "scaffold.project",
    "subprocess",
)


def test_the_version_is_shown(scaffold: Any) -> None:
    """`scaffold --version` names the tool's version."""
    assert scaffold("--version").stdout == f"scaffold {__version__}\n"


def test_help_names_every_command(scaffold: Any) -> None:
    """`scaffold --help` has a line for each command."""
    shown = scaffold("--help").stdout
    assert [
        word
        for word in ("new", "list", "show", "status", "diff", "update", "check", "release")
        if f"\n  {word} " not in shown
    ] == []


def test_list_shows_each_template_with_its_line(scaffold: Any) -> None:
    """`scaffold list` reads the names and lines from the templates themselves."""
    assert scaffold("list").stdout == "supervised  A small one\n"


def test_show_tells_files_questions_and_defaults(scaffold: Any) -> None:
    """`scaffold show NAME` names the files as the project will have them, and what is asked."""
    shown = scaffold("show", "supervised").stdout
    assert "99 % in 1 s" in shown
    assert "\n    README.md\n" in shown
    assert "\n    scaffold_runtime/\n" in shown
    assert "project_name = 'my-supervised'\n        Name of the project" in shown
    assert "template.yml" not in shown


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("nwe", "no such command 'nwe'; did you mean 'new'? (scaffold --help shows all)"),
        ("new --tmplate a", "no such option: --tmplate; did you mean '--template'?"),
        ("new --template", "option '--template' requires an argument"),
        ("new", "say which template: --template supervised"),
        ("new --template supervized", "no template 'supervized'; did you mean 'supervised'?"),
        ("new --template supervised --set a", "--set takes NAME=VALUE, not 'a'"),
        ("new --template supervised --set autor=a", "no question 'autor'; did you mean 'author'?"),
        ("new --template supervised --release=", "--release is empty; say which"),
        ("new a b c", "got unexpected extra argument"),
        ("show", "missing argument 'name'"),
        ("show gann", "there is no template 'gann'"),
        ("release", "missing argument 'version'"),
        ("release one", "'one' is not a version"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(scaffold: Any, tmp_path: Path, arguments: str, line: str) -> None:
    """Whatever is typed wrongly is said in one line with exit status 2; nothing is written."""
    done = scaffold(*arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("scaffold: ")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_typed_shows_the_help(scaffold: Any) -> None:
    """`scaffold` alone shows the help, and is no success."""
    done = scaffold()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: scaffold")


def test_bytes_that_are_no_text_are_refused_in_one_line(scaffold: Any) -> None:
    """An answer in another encoding than the terminal's is one line, also where it is shown."""
    done = scaffold("new", "--template", "supervised", "--set", os.fsdecode(b"author=\xff"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "author '\\udcff' holds" in done.stderr


def test_a_terminal_without_the_letters_is_no_error(scaffold: Any) -> None:
    """Text that the terminal's encoding does not have is shown in another way, not a traceback."""
    done = scaffold(
        "new", "\u00fcb", "--template", "supervised", "--set", "project_name=ub",
        PYTHONIOENCODING="ascii",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(option: str) -> None:
    """Copier, Rich, YAML and what runs git are loaded only by the commands that need them."""
    code = (
        "import sys\nfrom scaffold.cli import main\n"
        f"sys.argv = ['scaffold', {option!r}]\n"
        "try: main()\nexcept SystemExit: print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.rpartition("LOADED")[2].split()
    # Typer itself loads subprocess.
    assert [module for module in HEAVY if module in loaded and module != "subprocess"] == []


@pytest.mark.parametrize(
    ("command", "limit"),
    [("--help", 0.2), ("--version", 0.2), ("new --template supervised --defaults", 1.0)],
)
def test_the_command_is_quick(scaffold: Any, tmp_path: Path, command: str, limit: float) -> None:
    """CPU time, of all processes together: help and version 0.2 s, a project 1 s."""

    def measured(number: int) -> float:
        (tmp_path / str(number)).mkdir()
        return cpu_time(lambda: called(tmp_path / str(number)))

    def called(folder: Path) -> None:
        assert scaffold(*command.split(), cwd=folder).returncode == 0

    assert least(measured, limit) < limit


def test_on_a_terminal_the_open_questions_are_asked(small: Path, tmp_path: Path) -> None:
    """Questions not answered by --set are asked; a wrong answer is refused and asked again."""
    with terminal(small, tmp_path, "--set", "author=Ada") as screen:
        screen.expect("Name of the project")
        screen.send("\x15torch\r")  # Control-U empties the line.
        screen.expect("package it depends on")
        screen.send("\x15digits\r")
        screen.expect("What it is for")
        screen.send("\x15{{ 6 * 7 }} \u00e9\r")
        screen.expect("GitHub Actions")
        screen.send("n")
        screen.expect("Dockerfile")
        screen.send("\r")
        screen.expect("python train.py")
        screen.expect(pexpect.EOF)
    made = (tmp_path / "my-supervised" / "README.md").read_text()
    assert made == "# digits\n\n{{ 6 \\* 7 }} \u00e9\n\nBy Ada.\n"
    assert screen.exitstatus == 0


def test_on_a_terminal_an_unusable_folder_name_offers_a_usable_one(
    small: Path, tmp_path: Path
) -> None:
    """For a folder that no project can be called like, the prompt proposes another name."""
    with terminal(small, tmp_path, "My Project") as screen:
        screen.expect("my-project")
        for _ in range(5):
            screen.send("\r")
        screen.expect(pexpect.EOF)
    assert 'name = "my-project"' in (tmp_path / "My Project" / "pyproject.toml").read_text()


def test_a_wrong_setting_is_refused_before_anything_is_asked(small: Path, tmp_path: Path) -> None:
    """On a terminal too, a wrong --set is one line, not a question."""
    with terminal(small, tmp_path, "--set", "project_name=torch") as screen:
        screen.expect(pexpect.EOF)
        assert screen.before.startswith("scaffold: project_name 'torch' is the name of a package")
        assert screen.before.count("\n") == 1
    assert screen.exitstatus == 2


def test_defaults_ask_nothing_on_a_terminal(small: Path, tmp_path: Path) -> None:
    """With --defaults nothing is asked on a terminal either."""
    with terminal(small, tmp_path, "--defaults") as screen:
        screen.expect(pexpect.EOF)
        assert "Name of the project" not in screen.before
    assert (tmp_path / "my-supervised" / "train.py").exists()


def test_control_c_at_a_question_writes_nothing(small: Path, tmp_path: Path) -> None:
    """Control-C ends with status 130, no traceback and nothing written."""
    with terminal(small, tmp_path) as screen:
        screen.expect("Name of the project")
        screen.send("\x03")
        screen.expect(pexpect.EOF)
        assert "Traceback" not in screen.before
    assert screen.exitstatus == 128 + signal.SIGINT
    assert list(tmp_path.iterdir()) == []


def terminal(history: Path, folder: Path, *arguments: str) -> Any:
    command = [
        str(HERE / "command.py"),
        str(history),
        "new",
        "--template",
        "supervised",
        *arguments,
    ]
    environment = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm"}
    return pexpect.spawn(
        sys.executable,
        command,
        cwd=folder,
        env=environment,
        encoding="utf-8",
        timeout=20,
        dimensions=(40, 160),
    )

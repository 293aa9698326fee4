"""`scaffold new`: a whole project, in its place, with a first commit."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from comparing import contents

from scaffold import answers, project
from scaffold.errors import ScaffoldError

NEW = ("new", "--template", "supervised", "--defaults")


def test_it_says_what_to_type_next_and_what_to_expect(scaffold: Any) -> None:
    """Without a path the folder is my-NAME; the last lines go on from there."""
    done = scaffold(*NEW)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Made my-supervised from the template supervised, release 0.3.0.",
        "",
        "Next:",
        "    cd my-supervised",
        "    python -m pip install -e '.[test]'",
        "    python train.py",
        "",
        "A run with default settings: 99 % in 1 s",
    ]


def test_the_next_lines_can_be_typed_as_they_are(scaffold: Any, tmp_path: Path) -> None:
    """The line with `cd` works in a shell, also for a folder with blanks and quotes."""
    done = scaffold(*NEW, "it's $HOME", "--set", "project_name=mine")
    line = next(line for line in done.stdout.splitlines() if line.startswith("    cd "))
    shown = subprocess.run(
        ["sh", "-c", f"{line} && ls"], cwd=tmp_path, capture_output=True, check=True
    )
    assert b"train.py" in shown.stdout


def test_a_project_holds_the_template_the_base_and_the_runtime(make: Any) -> None:
    """Base, template and runtime lie in one folder, rendered, with the record of where from."""
    folder = make()
    assert list(contents(folder)) == [
        ".gitignore", ".scaffold.yml", "README.md", "facts.py", "model.py", "pyproject.toml",
        "say.sh", "scaffold_runtime/__init__.py", "settings.yaml", "tests/test_train.py",
        "tool.sh", "train.py",
    ]  # fmt: skip
    assert answers.read(folder) == answers.Record(
        "supervised",
        "0.3.0",
        {
            "project_name": "fresh",
            "description": "A training project in PyTorch",
            "author": "",
            "ci": True,
            "docker": False,
        },
    )


def test_only_files_named_jinja_are_rendered(make: Any) -> None:
    """A Python file of a template is what the user gets, braces and all."""
    assert (make() / "train.py").read_text() == 'print("{{ trained }}")\n'


def test_files_have_the_modes_that_the_user_gives_new_files(make: Any) -> None:
    """What may be executed may be executed, and the umask takes from the rest what it takes."""
    old = os.umask(0o027)
    try:
        folder = make()
    finally:
        os.umask(old)
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("train.py", "tool.sh")}
    assert modes == {"train.py": 0o640, "tool.sh": 0o750}
    assert (
        stat.S_IMODE(folder.stat().st_mode)
        == stat.S_IMODE((folder / "tests").stat().st_mode)
        == 0o750
    )


def test_missing_folders_on_the_way_are_made(make: Any, tmp_path: Path) -> None:
    """A path of several new folders is made, with nothing else beside it."""
    assert (make("a/b/fresh") / "train.py").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_empty_folder_is_taken(make: Any, tmp_path: Path) -> None:
    """A folder that is there and empty becomes the project, with the mode it had."""
    (tmp_path / "fresh").mkdir(mode=0o700)
    assert stat.S_IMODE(make().stat().st_mode) == 0o700


def test_a_link_to_an_empty_folder_is_followed(make: Any, tmp_path: Path) -> None:
    """A link stays a link, and what it points to becomes the project."""
    (tmp_path / "real").mkdir()
    (tmp_path / "fresh").symlink_to("real")
    make()
    assert (tmp_path / "fresh").is_symlink()
    assert (tmp_path / "real" / "train.py").exists()


def test_the_current_folder_is_taken(scaffold: Any, tmp_path: Path) -> None:
    """`scaffold new .` makes the project of the empty folder one stands in; `cd .` enters it."""
    here = tmp_path / "here"
    here.mkdir()
    done = scaffold(*NEW, ".", "--set", "project_name=mine", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert "    cd .\n" in done.stdout
    assert (here / "train.py").exists()


@pytest.mark.parametrize(
    ("there", "wrong"),
    [
        ("full/a.txt", "'full' exists and is not empty"),
        ("full", "is a file"),
        ("other/../full/.hidden", "'full' exists and is not empty"),
    ],
)
def test_a_place_that_is_taken_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, wrong: str
) -> None:
    """What is there is named in one line, and stays as it is."""
    (tmp_path / "other").mkdir()
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScaffoldError, match=wrong):
        project.create("full", "supervised", defaults=True, history=small)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("path", ["a-file/new", "a-file/deeper/new", "/proc/new", ""])
def test_a_place_that_cannot_be_written_is_refused(
    scaffold: Any, tmp_path: Path, path: str
) -> None:
    """A path through a file, or where nobody can write, is one line and nothing else."""
    (tmp_path / "a-file").write_text("mine")
    done = scaffold(*NEW, path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_the_folder_is_a_repository_with_one_commit(make: Any) -> None:
    """All files are in the first commit, on the branch that the user's settings say."""
    folder = make()
    assert git(folder, "rev-list", "--count", "HEAD") == "1"
    assert git(folder, "status", "--porcelain", "--ignored") == ""
    assert sorted(git(folder, "ls-files").splitlines()) == sorted(contents(folder))


def test_the_users_settings_of_git_do_not_get_in_the_way(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ignored patterns, hooks, signing and line endings of the user's leave the commit whole."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "prepare-commit-msg").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "prepare-commit-msg").chmod(0o755)
    (tmp_path / "ignored").write_text("*.py\n.scaffold.yml\n")
    settings = f"""
        [init] defaultBranch = trunk
        [core] hooksPath = {hooks}
               excludesFile = {tmp_path}/ignored
               autocrlf = true
               safecrlf = true
        [commit] gpgSign = true
        [gpg] program = false
    """
    isolate_git(monkeypatch, tmp_path, settings)
    folder = make()
    assert git(folder, "log", "--format=%an %ae %D") == "Scaffold scaffold@localhost HEAD -> trunk"
    assert sorted(git(folder, "ls-files").splitlines()) == sorted(contents(folder))


def test_the_commit_is_the_users_where_git_knows_them(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first commit has the name and address of the user's settings."""
    isolate_git(monkeypatch, tmp_path, "[user]\nname = Ada\nemail = ada@example.org\n")
    assert git(make(), "log", "--format=%an %ae") == "Ada ada@example.org"


def test_another_repository_in_the_environment_is_left_alone(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call from a hook of some repository, which sets GIT_DIR, makes the project's own."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    folder = make()
    monkeypatch.undo()
    assert git(folder, "status", "--porcelain") == ""
    assert not (tmp_path / "elsewhere").exists()


def test_inside_a_repository_nothing_is_committed(scaffold: Any, tmp_path: Path) -> None:
    """Within a repository the project is files to commit as one likes; a sentence says so."""
    git(tmp_path, "init", "--quiet")
    done = scaffold(*NEW)
    assert "lies in the git repository" in done.stdout
    assert not (tmp_path / "my-supervised" / ".git").exists()
    assert git(tmp_path, "status", "--porcelain") == "?? my-supervised/"


def test_without_git_there_is_a_project_all_the_same(scaffold: Any, tmp_path: Path) -> None:
    """Where git is missing, a sentence says that the folder is no repository."""
    done = scaffold(*NEW, PATH=str(tmp_path))
    assert done.returncode == 0
    assert "git is not installed" in done.stdout
    assert (tmp_path / "my-supervised" / "train.py").exists()


def test_no_git_leaves_git_out(scaffold: Any, tmp_path: Path) -> None:
    """With --no-git the folder is no repository, and no sentence is lost on it."""
    assert "git" not in scaffold(*NEW, "--no-git").stdout
    assert not (tmp_path / "my-supervised" / ".git").exists()


def test_a_folder_that_holds_only_git_keeps_its_repository(make: Any, tmp_path: Path) -> None:
    """A repository without files becomes the project, its commits and settings untouched."""
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(fresh, "init", "--quiet")
    git(fresh, "-c", "user.name=A", "-c", "user.email=a", "commit", "--allow-empty", "-qm", "mine")
    head = git(fresh, "rev-parse", "HEAD")
    make()
    assert git(fresh, "rev-parse", "HEAD") == head
    assert "?? train.py" in git(fresh, "status", "--porcelain")
    assert [path.name for path in tmp_path.iterdir()] == ["fresh"]


def test_rendering_depends_on_release_and_answers_alone(scaffold: Any, tmp_path: Path) -> None:
    """Another home, language, time zone, folder and Copier settings: the same bytes."""
    copier = tmp_path / "copier.yml"
    copier.write_text("defaults: {author: Eve, description: Hers}\ntrust: ['/']\n")
    scaffold(*NEW, "here/demo", "--no-git", HOME=str(tmp_path), TZ="Asia/Tokyo", LC_ALL="C",
             COPIER_SETTINGS_PATH=str(copier), PYTHONHASHSEED="7", PATH="/usr/bin")  # fmt: skip
    scaffold(*NEW, "there/demo", LC_ALL="C.UTF-8", PYTHONHASHSEED="8")
    assert contents(tmp_path / "here" / "demo") == contents(tmp_path / "there" / "demo")


@pytest.fixture
def make(small: Path, tmp_path: Path) -> Any:
    """Make a project `fresh`, or at another path, from the small template."""

    def create(path: str = "fresh") -> Path:
        target = str(tmp_path / path)
        return project.create(target, "supervised", defaults=True, history=small).folder

    return create


@pytest.fixture(autouse=True)
def _fresh_environment() -> None:
    """Let each test have the environment it sets."""
    from scaffold import git as scaffolds

    scaffolds._environment.cache_clear()


def isolate_git(monkeypatch: pytest.MonkeyPatch, home: Path, settings: str) -> None:
    """Let git know these settings and no others, and nobody's name."""
    (home / "gitconfig").write_text(f"{settings}\n[user]\nuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in (
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_COMMITTER_NAME",
        "GIT_COMMITTER_EMAIL",
    ):
        monkeypatch.delenv(name, raising=False)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()

"""`scaffold update` in repositories of every kind, with whatever the user has set."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TextIO

import pytest
from updating import LINES, Story

from scaffold import answers, git, repository, updates, workshop
from scaffold.errors import ScaffoldError
from scaffold.scratch import Scratch

OLD = {
    "train.py": LINES,
    "model.py": LINES.replace("line", "layer"),
    "\u00fc b/\u00e9.txt": "old\n",
}
NEW = {
    "train.py": LINES.replace("line 18\n", "line 18, theirs \n"),  # With a blank at the end.
    "core/model.py": OLD["model.py"] + "more\n",
    "\u00fc b/\u00e9.txt": "new\n",
    "\u4f60 'new'.txt": "new\n",
}
SETTINGS = {
    "nothing": [],
    "whitespace": ["apply.whitespace=error", "core.whitespace=trailing-space,space-before-tab"],
    "quoted paths": ["core.quotePath=true"],
    "plain paths": ["core.quotePath=false"],
    "diff3": ["merge.conflictStyle=diff3"],
    "signed": ["commit.gpgSign=true", "gpg.program=false"],
    "no renames": ["merge.renames=false", "diff.renames=false", "status.renames=false"],
    "few renames": ["merge.renameLimit=1", "diff.renameLimit=1"],
    "rerere": ["rerere.enabled=true", "rerere.autoUpdate=true"],
    "no modes": ["core.fileMode=false"],
    "split index": ["core.splitIndex=true"],
    "index version 4": ["index.version=4"],
    "untracked cache": ["core.untrackedCache=true"],
    "many files": ["feature.manyFiles=true"],
    "hidden untracked": ["status.showUntrackedFiles=no"],
    "relative": ["status.relativePaths=false", "diff.relative=true", "diff.noprefix=true"],
    "colours": ["color.ui=always", "diff.external=false", "core.pager=false"],
    "ours": ["pull.twohead=ours", "merge.ff=only", "merge.verifySignatures=true"],
    "safe line ends": ["core.safecrlf=true", "core.autocrlf=input"],
    "editor": ["core.editor=false", "sequence.editor=false"],
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_an_update_does_not_depend_on_the_users_settings(story: Story, settings: list[str]) -> None:
    """Whatever is set, edits are kept, renames followed, and the result is the same."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    edit(story)
    for setting in settings:
        story.git("config", *setting.split("=", 1))
    story.update()
    assert_updated(story)


def test_a_merge_in_which_git_crashes_is_made_anew(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git 2.39 can fail an assertion where folders moved; the lock that it leaves stops nothing."""
    attempt, crashed = Scratch.attempt, []

    def crash_once(scratch: Scratch, *arguments: str, **options: Any) -> Any:
        if arguments[0] == "cherry-pick" and not crashed:
            (scratch.folder / "index.lock").touch()
            crashed.append(CompletedProcess(arguments, -signal.SIGABRT, "", "Assertion failed"))
            return crashed[0]
        return attempt(scratch, *arguments, **options)

    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    monkeypatch.setattr(Scratch, "attempt", crash_once)
    story.update()
    assert crashed
    assert story.read("train.py") == NEW["train.py"]


def test_a_sparse_checkout_with_a_sparse_index(tmp_path: Path, story: Story) -> None:
    """Of a repository of which only the project is checked out, the rest stays away."""
    story = Story(tmp_path / "larger", "top/project")
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    (story.top / "elsewhere").mkdir()
    (story.top / "elsewhere/large.txt").write_text("large\n")
    story.start()
    story.git("sparse-checkout", "set", "--cone", "--sparse-index", "project")
    assert not (story.top / "elsewhere").exists()
    edit_and_update(story)
    assert_updated(story)
    assert not (story.top / "elsewhere").exists()


@pytest.mark.parametrize("how", ["--depth=1", "--filter=blob:none"])
def test_a_clone_without_all_objects(story: Story, tmp_path: Path, how: str) -> None:
    """A clone that has only what its last commit needs is updated without its origin."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.git("config", "uploadpack.allowFilter", "true")
    story.write("model.py", "another\n")
    story.commit()
    story.git("revert", "--no-edit", "HEAD")
    story.git("clone", "--quiet", how, f"file://{story.top}", str(tmp_path / "clone"))
    story.top.rename(tmp_path / "gone")
    story.top = story.project = tmp_path / "clone"
    edit_and_update(story)
    assert_updated(story)


def test_a_project_that_was_moved_within_its_repository(tmp_path: Path, story: Story) -> None:
    """A project is where its record is, wherever it was before."""
    story = Story(tmp_path / "larger", "top/project")
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.git("mv", "project", "elsewhere")
    story.project = story.top / "elsewhere"
    edit_and_update(story)
    assert_updated(story)


def test_a_project_that_is_a_submodule(story: Story, tmp_path: Path) -> None:
    """Its own repository gets the commit; the one around sees that it has another."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    around = tmp_path / "around"
    story.git("init", "--quiet", str(around))
    add = ("submodule", "--quiet", "add", str(story.top), "project")
    story.git("-c", "protocol.file.allow=always", *add, at=str(around))
    story.git("commit", "--quiet", "--message", "Project", at=str(around))
    story.top = story.project = around / "project"
    edit_and_update(story)
    assert_updated(story)
    assert story.git("status", "--porcelain", at=str(around)) == " M project\n"


@pytest.mark.parametrize("pattern", ["*", "*.py", ".scaffold.yml", "core/"])
def test_what_the_user_ignores_everywhere_is_updated_too(
    story: Story, tmp_path: Path, pattern: str
) -> None:
    """A list of ignored files decides what git adds by itself, not what an update brings."""
    (tmp_path / "ignored").write_text(f"{pattern}\n")
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.git("config", "core.excludesFile", str(tmp_path / "ignored"))
    edit_and_update(story)
    assert_updated(story)


def test_hooks_do_not_run(story: Story, tmp_path: Path) -> None:
    """No hook of the user's sees our commits, and none can stop them."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    edit(story)
    names = "pre-commit prepare-commit-msg commit-msg post-commit post-checkout post-merge"
    for name in [*names.split(), "reference-transaction", "post-index-change", "pre-auto-gc"]:
        hook = story.top / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> '{tmp_path}/ran'\nexit 1\n")
        hook.chmod(0o755)
    story.update()
    assert not (tmp_path / "ran").exists()
    story.git("config", "core.hooksPath", os.devnull)
    assert_updated(story)


def test_without_a_name_the_commit_is_ours(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where git knows nobody's name, an update is made all the same."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    edit(story)
    (tmp_path / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path))  # Before 2.32 there is no GIT_CONFIG_GLOBAL.
    for name in ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL"):
        monkeypatch.delenv(f"GIT_{name}", raising=False)
    monkeypatch.delenv("EMAIL", raising=False)
    git._environment.cache_clear()
    story.update()
    assert story.git("log", "-1", "--format=%an %ae") == "Scaffold scaffold@localhost\n"
    assert_updated(story)


def test_the_users_name_is_on_the_commit(story: Story) -> None:
    """Author and committer of an update are who the user's settings say."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.git("config", "user.name", "Ada")
    edit_and_update(story)
    assert story.git("log", "-1", "--format=%an %cn") == "Ada Ada\n"


def test_variables_that_tie_git_to_another_repository_do_not_matter(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called from a hook of some repository, which sets GIT_DIR, it updates the project's own."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    edit(story)
    for name in ("DIR", "INDEX_FILE", "WORK_TREE", "OBJECT_DIRECTORY", "COMMON_DIR"):
        monkeypatch.setenv(f"GIT_{name}", str(tmp_path / "elsewhere"))
    git._environment.cache_clear()
    story.update()
    monkeypatch.undo()
    assert not (tmp_path / "elsewhere").exists()
    assert_updated(story)


@pytest.mark.parametrize("place", ["top/project", "top/a b/\u00fcber/[x]*"])
def test_a_project_may_lie_in_a_larger_repository(tmp_path: Path, place: str, story: Story) -> None:
    """From a subfolder of a repository, only the project changes; marks and messages fit."""
    story = Story(tmp_path / "larger", place)
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW | {"train.py": LINES.replace("line 3\n", "line 3, theirs\n")})
    (story.top / "core").mkdir()
    for name in ("train.py", "core/model.py", "model.py"):  # Names that the project has too.
        (story.top / name).write_text(LINES)
    story.start()
    edit(story)
    done = story.update()
    assert done is not None
    assert done.merged.conflicts == {"train.py": "both changed"}
    assert story.read("core/model.py") == OLD["model.py"].replace("layer 3\n", "mine\n") + "more\n"
    assert (story.top / "core/model.py").read_text() == LINES
    prefix = story.project.relative_to(story.top).as_posix()
    changed = story.git("status", "--porcelain", "-z").split("\0")
    assert all(line[3:].startswith(f"{prefix}/") for line in changed if line[2:3] == " ")
    story.git("cherry-pick", "--abort")
    assert story.changed == []


def test_a_change_elsewhere_in_a_larger_repository_is_refused(tmp_path: Path, story: Story) -> None:
    """The whole working tree must be clean: taking an update back resets all of it."""
    story = Story(tmp_path / "larger", "top/project")
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    (story.top / "notes.txt").write_text("")
    story.start()
    (story.top / "notes.txt").write_text("mine")
    with pytest.raises(ScaffoldError, match=r"not committed: \.\./notes\.txt;"):
        story.update()


def test_line_ends_are_the_users(story: Story) -> None:
    """With core.autocrlf the files have CR LF, the commits have LF, and nothing conflicts."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.git("config", "core.autocrlf", "true")
    story.git("rm", "--cached", "-r", "--quiet", ".")
    story.git("reset", "--quiet", "--hard")
    story.edit("train.py", "line 3\r\n", "mine\r\n")
    story.commit()
    story.update()
    assert story.changed == []
    for path in ("train.py", "core/model.py", "\u4f60 'new'.txt"):
        assert story.read(path).count("\r\n") == story.read(path).count("\n") > 0
        assert "\r" not in story.git("cat-file", "blob", f"HEAD:{path}")


@pytest.mark.parametrize("where", ["in the project", "in a file of the user's"])
def test_attributes_of_the_users_hold(story: Story, tmp_path: Path, where: str) -> None:
    """A filter that stores files in another form makes no difference between the two renders."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    line = "*.py filter=upper\n"
    if where == "in the project":
        story.write(".gitattributes", line)
    (tmp_path / "attributes").write_text(line)
    story.git("init", "--quiet", str(story.top), at=".")
    story.git("config", "filter.upper.clean", "tr a-z A-Z")
    story.git("config", "filter.upper.smudge", "tr A-Z a-z")
    if where != "in the project":
        story.git("config", "core.attributesFile", str(tmp_path / "attributes"))
    story.start()
    assert "LINE 3\n" in story.git("cat-file", "blob", "HEAD:train.py")
    edit_and_update(story)
    assert_updated(story)
    assert "LINE 18, THEIRS \n" in story.git("cat-file", "blob", "HEAD:train.py")


def test_an_encoding_of_the_users_holds(story: Story) -> None:
    """Files that the user wants in UTF-16 are that, with the template's changes."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.write(".gitattributes", "*.py text working-tree-encoding=UTF-16\n")
    for path in ("train.py", "model.py"):
        text = story.read(path).replace("line 3\n", "mine\n")
        (story.project / path).write_text(text, encoding="utf-16", newline="")
    story.commit()
    story.update()
    mine = NEW["train.py"].replace("line 3\n", "mine\n")
    assert (story.project / "train.py").read_text(encoding="utf-16") == mine
    assert (story.project / "core/model.py").read_text(encoding="utf-16") == NEW["core/model.py"]
    assert story.changed == []


def test_a_merge_driver_of_the_users_decides(story: Story) -> None:
    """What attributes say about merging a file holds for updates too."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", {**NEW, "train.py": LINES + "theirs\n"})
    story.start()
    story.write(".gitattributes", "train.py merge=union\n")
    story.write("train.py", LINES + "mine\n")
    story.commit()
    story.update()
    assert story.read("train.py") == LINES + "mine\ntheirs\n"


def test_a_repository_with_sha256(story: Story) -> None:
    """Objects may have the longer names."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start("0.1.0", "--object-format=sha256")
    edit_and_update(story)
    assert len(story.head) == 64
    assert_updated(story)


def test_without_a_branch(story: Story) -> None:
    """With a detached HEAD, HEAD moves on."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.git("checkout", "--quiet", "--detach")
    main = story.git("rev-parse", "main")
    edit_and_update(story)
    assert_updated(story)
    assert story.git("rev-parse", "main") == main


def test_in_a_further_working_tree(story: Story, tmp_path: Path) -> None:
    """A tree of `git worktree` is updated, and the others are left alone."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    main, before = story.top, story.everything()
    story.git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "other"))
    story.top = story.project = tmp_path / "other"
    edit_and_update(story)
    assert_updated(story)
    story.top = story.project = main
    assert (story.everything(), story.changed) == (before, [])


def test_with_gits_folder_elsewhere(story: Story, tmp_path: Path) -> None:
    """Where `.git` is a file that names the folder, an update works the same."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start("0.1.0", f"--separate-git-dir={tmp_path / 'gits'}")
    edit_and_update(story)
    assert_updated(story)


def test_a_folder_on_another_disk(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be moved from git's folder to the project, they are written anew."""

    def replace(source: Path, target: Path) -> None:
        if "tree" in source.parts:
            raise OSError(18, "Invalid cross-device link")
        os.replace(source, target)  # noqa: PTH105

    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()

    def link(source: Path, target: Path, **_: bool) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(os, "link", link)
    edit_and_update(story)
    assert_updated(story)


@pytest.mark.parametrize(
    ("what", "commands"),
    [
        ("a merge", ["merge other"]),
        ("a rebase", ["rebase other"]),
        ("a cherry-pick", ["cherry-pick other"]),
        ("a revert", ["revert --no-edit HEAD~1"]),
        ("a bisection", ["bisect start", "bisect bad"]),
    ],
)
def test_while_git_is_in_the_middle_of_something_an_update_is_refused(
    story: Story, what: str, commands: list[str]
) -> None:
    """A merge, rebase, cherry-pick, revert or bisection must end first; it is named."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.write("model.py", "mine\n")
    story.commit()
    story.git("checkout", "--quiet", "-b", "other", "HEAD~1")
    story.write("model.py", "other\n")
    story.commit()
    story.git("checkout", "--quiet", "main")
    story.write("model.py", "again\n")
    story.commit()
    for command in commands:
        git.attempt(*command.split(), folder=story.top)
    before = story.everything()
    for refused in (story.update, lambda: updates.compare(story.project, story.history)):
        with pytest.raises(ScaffoldError, match=f"{what} is in progress"):
            refused()
    assert story.everything() == before


def test_without_a_repository_or_a_commit_an_update_is_refused(story: Story) -> None:
    """What git cannot take back is not begun: the line says what to do."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    with pytest.raises(ScaffoldError, match="is no project"):
        story.update()
    story.start()
    (story.top / ".git").rename(story.top.parent / "gits")
    with pytest.raises(ScaffoldError, match="lies in no git repository; make it one: git init"):
        story.update()
    story.git("init", "--quiet")
    with pytest.raises(ScaffoldError, match="has no commit yet"):
        story.update()
    story.write("other/notes.txt", "mine")
    story.git("add", "other")
    story.git("commit", "--quiet", "--message", "other")
    with pytest.raises(ScaffoldError, match=r"no file of .* is in the last commit"):
        story.update()


@pytest.mark.parametrize(
    "names", [["index"], ["HEAD"], ["refs/heads/main"], ["HEAD", "refs/heads/main"]]
)
def test_while_git_holds_locks_an_update_is_refused(story: Story, names: list[str]) -> None:
    """While another git command is at work, or one that was killed seems to be, none begins."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    locks = story.lock(*names)
    before = story.everything()
    with pytest.raises(ScaffoldError, match=f"there is {locks}; wait for it"):
        story.update()
    assert (story.everything(), story.changed) == (before, [])


def test_a_line_break_in_the_path_is_said(tmp_path: Path, story: Story) -> None:
    """Git names paths a line each, so such a place is refused, in one line."""
    story = Story(tmp_path / "larger", "top/a\nb")
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    with pytest.raises(ScaffoldError, match="holds a line break; rename it") as refusal:
        story.update()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("place", ['top/"q"', 'top/"a\\tb', "top/-x", "top/:(glob)x"])
def test_names_that_git_could_take_for_something_else(
    tmp_path: Path, story: Story, place: str
) -> None:
    """Quotes, backslashes, options and patterns in the name of a folder are but a name."""
    story = Story(tmp_path / "larger", place)
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW | {'"a\\t" b': "new\n"})
    story.start()
    story.git("init", "--quiet")
    edit_and_update(story)
    assert_updated(story)
    assert story.read('"a\\t" b') == "new\n"


def test_two_updates_at_once(story: Story) -> None:
    """While one is at work the other is refused, and takes nothing from it."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    place = story.top / ".git" / "scaffold"
    place.mkdir()
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ScaffoldError, match="another `scaffold update` is at work"):
            story.update()
    story.update()


def test_the_lock_of_an_update_that_ends_is_not_taken_for_ours(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opened the lock just before it was removed makes a new one, and works in a new folder."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    hold, ends = workshop._hold, iter([True])

    def end_first(lock: TextIO, how: int) -> None:
        if next(ends, False):
            shutil.rmtree(story.top / ".git/scaffold")
        hold(lock, how)

    monkeypatch.setattr(workshop, "_hold", end_first)
    with workshop.opened(repository.around(story.project)) as folder:
        assert folder.exists()
        monkeypatch.undo()
        with pytest.raises(ScaffoldError, match="another `scaffold update` is at work"):
            updates.update(story.project, history=story.history)
    assert not folder.exists()


def test_a_disk_without_locks(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some disks of a network know no locks: an update goes on without."""

    def flock(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    monkeypatch.setattr(fcntl, "flock", flock)
    edit_and_update(story)
    assert_updated(story)


def test_a_record_that_is_ignored_is_written(story: Story) -> None:
    """Where the user ignores the record, and no commit has it, the update's commit has."""
    ignored_record(story)
    story.update()
    assert answers.read(story.project).version == "0.2.0"
    assert "version: 0.2.0" in story.git("cat-file", "blob", "HEAD:.scaffold.yml")
    assert story.changed == []


def test_a_record_in_no_commit_is_not_put_at_risk(story: Story) -> None:
    """With conflicts, `git cherry-pick --abort` would remove it: the line says what to do first."""
    ignored_record(story)
    story.write("train.py", LINES.replace("line 18\n", "mine\n"))
    story.commit()
    before = story.everything()
    for how in ({}, {"commit": False}):
        with pytest.raises(ScaffoldError, match=r"git add --force \.scaffold\.yml && git commit"):
            story.update(**how)
    assert story.everything() == before
    story.git("add", "--force", ".scaffold.yml")
    story.commit()
    done = story.update()
    assert done is not None
    assert list(done.merged.conflicts) == ["train.py"]


def ignored_record(story: Story) -> None:
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.write(".gitignore", ".scaffold.yml\n")
    story.start()
    assert ".scaffold.yml" not in story.git("ls-files")


def edit(story: Story) -> None:
    """Edit a file that the template changes, and one that it moves."""
    story.edit("train.py", "line 3\n", "mine\n")
    story.edit("model.py", "layer 3\n", "mine\n")
    story.commit()


def edit_and_update(story: Story) -> None:
    edit(story)
    story.update()


def assert_updated(story: Story) -> None:
    """The edits are there, and the template's changes, and git sees nothing to commit."""
    assert story.read("train.py") == NEW["train.py"].replace("line 3\n", "mine\n")
    assert story.read("core/model.py") == NEW["core/model.py"].replace("layer 3\n", "mine\n")
    for path in ("\u00fc b/\u00e9.txt", "\u4f60 'new'.txt"):
        assert story.read(path) == "new\n"
    assert not (story.project / "model.py").exists()
    assert answers.read(story.project).version == "0.2.0"
    assert story.changed == []
    tracked = story.git("ls-files", "-z", at=str(story.project)).split("\0")
    assert {"train.py", "core/model.py", ".scaffold.yml"} <= set(tracked)


@pytest.fixture(autouse=True)
def _fresh_environment() -> None:
    """Let each test have the environment it sets."""
    git._environment.cache_clear()

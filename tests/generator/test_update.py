"""`scaffold update`: what git makes of the user's edits and of the template's changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from updating import LINES, Story

from scaffold import answers, reports
from scaffold.errors import ScaffoldError
from scaffold.releases import File

SOLO = {"train.py": LINES, "model.py": "layers = 2\n", "tests/test_it.py": "pass\n"}


def test_a_project_without_edits_becomes_the_new_release(story: Story) -> None:
    """Every file is that of the new release, in one commit that says from and to."""
    started(story, SOLO, {"train.py": LINES + "more\n", "new/deep.py": "new\n"})
    before = story.head
    done = story.update()
    assert story.git("log", "--format=%s%n%P", "-1").splitlines() == [
        "Update from Scaffold 0.1.0 to 0.2.0, template small",
        before,
    ]
    assert story.changed == []
    assert sorted(story.everything()) == [".scaffold.yml", "new/deep.py", "train.py"]
    assert story.read("train.py") == LINES + "more\n"
    assert answers.read(story.project).version == "0.2.0"
    assert "5 files, commit" in reports.updated(done, dry_run=False, commit=True)
    assert not (story.top / ".git" / "scaffold").exists()


def test_edits_stay_and_what_is_new_comes(story: Story) -> None:
    """Edits of the user and of the template in one file are both there."""
    started(story, SOLO, SOLO | {"train.py": LINES.replace("line 18\n", "line 18, better\n")})
    story.edit("train.py", "line 2\n", "line 2, mine\n")
    story.write("own.py", "mine\n")
    story.commit()
    story.update()
    assert story.read("train.py") == LINES.replace("line 2\n", "line 2, mine\n").replace(
        "line 18\n", "line 18, better\n"
    )
    assert story.read("own.py") == "mine\n"


def test_an_edited_file_that_the_template_moved_is_edited_where_it_is_now(story: Story) -> None:
    """Git follows the template's renames with the user's edits."""
    started(story, SOLO, {"model.py": SOLO["model.py"], "core/loop.py": LINES + "more\n"})
    story.edit("train.py", "line 2\n", "line 2, mine\n")
    story.commit()
    story.update()
    assert "line 2, mine\n" in story.read("core/loop.py")
    assert story.read("core/loop.py").endswith("more\n")
    assert not (story.project / "train.py").exists()


def test_a_file_that_the_user_moved_gets_the_templates_change(story: Story) -> None:
    """Git follows the user's renames with the template's changes."""
    started(story, SOLO, SOLO | {"train.py": LINES + "more\n"})
    story.git("mv", "train.py", "main.py")
    story.commit()
    story.update()
    assert story.read("main.py") == LINES + "more\n"
    assert not (story.project / "train.py").exists()


def test_a_conflict_is_left_as_git_leaves_it(story: Story) -> None:
    """Marks in the file, the list of files, the two ways on, and git knows of the cherry-pick."""
    started(story, SOLO, SOLO | {"train.py": LINES.replace("line 5\n", "line 5, theirs\n")})
    story.edit("train.py", "line 5\n", "line 5, mine\n")
    before = story.commit()
    told = reports.updated(story.update(), dry_run=False, commit=True)
    assert "<<<<<<< HEAD\nline 5, mine\n=======\nline 5, theirs\n>>>>>>> " in story.read("train.py")
    assert "    train.py: both changed\n" in told
    assert "git cherry-pick --continue" in told
    assert "git cherry-pick --abort" in told
    assert story.changed == ["M  .scaffold.yml", "UU train.py"]
    assert story.head == before
    assert (story.top / ".git" / "CHERRY_PICK_HEAD").exists()


def test_abort_takes_a_conflict_back_to_the_last_bit(story: Story) -> None:
    """After `git cherry-pick --abort` every file, its mode, and git's own state are as before."""
    conflicted(story)
    before, head = story.everything(), story.head
    story.write("own, untracked", "mine\n")
    story.update()
    assert story.everything() != before
    story.git("cherry-pick", "--abort")
    (story.project / "own, untracked").unlink()
    assert (story.everything(), story.head) == (before, head)
    assert story.changed == []


def test_continue_makes_the_commit_that_the_update_would_have_made(story: Story) -> None:
    """After the conflict is settled, `git cherry-pick --continue` makes the update's commit."""
    conflicted(story)
    story.update()
    story.write("train.py", "settled\n")
    story.git("add", "train.py")
    story.git("rm", "--quiet", "model.py")
    story.git("cherry-pick", "--continue")
    assert story.git("log", "--format=%s", "-1") == (
        "Update from Scaffold 0.1.0 to 0.2.0, template small\n"
    )
    assert (story.read("train.py"), story.changed) == ("settled\n", [])
    assert answers.read(story.project).version == "0.2.0"
    assert story.update() is None


def test_a_file_that_the_user_removed_stays_removed_and_is_named(story: Story) -> None:
    """What the template did to it since, a change or a move, is said, and is no conflict."""
    changed = {"train.py": LINES + "more\n", "core/model.py": SOLO["model.py"]}
    started(story, SOLO, changed)
    story.git("rm", "--quiet", "train.py", "model.py", "tests/test_it.py")
    story.commit()
    told = reports.updated(story.update(), dry_run=False, commit=True)
    assert sorted(story.everything()) == [".scaffold.yml"]
    assert "train.py: you removed it, the template changed it; it stays removed" in told
    assert "model.py: you removed it, the template moved it to core/model.py" in told
    assert "test_it.py" not in told


def test_a_file_that_the_template_gave_up_goes_only_if_untouched(story: Story) -> None:
    """An untouched one is gone; an edited one is kept, as a conflict that git shows."""
    started(story, SOLO, {"tests/test_it.py": SOLO["tests/test_it.py"]})
    story.edit("train.py", "line 5\n", "line 5, mine\n")
    story.commit()
    done = story.update()
    assert done is not None
    assert done.merged.conflicts == {"train.py": "you changed it, the template removed it"}
    assert "line 5, mine\n" in story.read("train.py")
    assert not (story.project / "model.py").exists()
    assert "DU train.py" in story.changed or "UD train.py" in story.changed


def test_a_file_that_both_added_is_a_conflict(story: Story) -> None:
    """A committed file of the user's, where the template now has one, is not overwritten."""
    started(story, SOLO, SOLO | {"sweep.py": "theirs\n"})
    story.write("sweep.py", "mine\n")
    story.commit()
    done = story.update()
    assert done is not None
    assert done.merged.conflicts == {"sweep.py": "both added"}
    assert "mine\n" in story.read("sweep.py")
    assert "theirs\n" in story.read("sweep.py")


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("there", ["sweep.py", "sweep", "sweep/py/deep.txt"])
def test_a_file_that_is_in_no_commit_is_never_touched(
    story: Story, there: str, ignored: bool
) -> None:
    """An untracked or ignored file where the template now has one: refused, and named."""
    new = {"sweep.py": "theirs\n"} if there == "sweep.py" else {"sweep/py": "theirs\n"}
    started(story, SOLO, SOLO | new)
    if ignored:
        story.write(".gitignore", "sweep*\n")
        story.commit()
    story.write(there, "mine\n")
    before = story.everything()
    with pytest.raises(ScaffoldError, match=f"files that no commit has: {there}; commit them"):
        story.update()
    assert story.everything() == before
    assert not (story.top / ".git" / "scaffold").exists()


def test_a_link_to_elsewhere_is_not_written_through(story: Story, tmp_path: Path) -> None:
    """Where the template has a folder now and an untracked link lies, nothing is written."""
    started(story, SOLO, SOLO | {"data/new.txt": "theirs\n"})
    (tmp_path / "elsewhere").mkdir()
    (story.project / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ScaffoldError, match="files that no commit has: data;"):
        story.update()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_with_a_link_to_a_folder_is_in_the_way(story: Story, tmp_path: Path) -> None:
    """Where the template has a file now, an untracked folder that holds but a link is kept."""
    started(story, SOLO, SOLO | {"notes": "theirs\n"})
    (story.project / "notes").mkdir()
    (story.project / "notes/link").symlink_to(tmp_path)
    with pytest.raises(ScaffoldError, match="files that no commit has: notes/link;"):
        story.update()
    assert (story.project / "notes/link").readlink() == tmp_path


def test_another_repository_in_the_project_is_not_written_into(story: Story) -> None:
    """Where the template has a file now and a repository of the user's lies, it is named."""
    started(story, SOLO, SOLO | {"ext/new.py": "theirs\n"})
    story.git("init", "--quiet", "ext")
    with pytest.raises(ScaffoldError, match=r"files that no commit has: ext/\.git;"):
        story.update()
    assert sorted(path.name for path in (story.project / "ext").iterdir()) == [".git"]


def test_a_folder_that_may_not_be_written_is_known_before(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another owner, or on a disk that is mounted to be read: named, and nothing is begun."""
    started(story, SOLO, SOLO | {"tests/new/test_new.py": "pass\n"})
    before, access = story.everything(), os.access

    def no_access(path: Path, mode: int) -> bool:
        return path != story.project / "tests" and access(path, mode)

    monkeypatch.setattr(os, "access", no_access)
    with pytest.raises(ScaffoldError, match=r"may not write in .*/project/tests, as an update"):
        story.update()
    assert story.everything() == before
    assert not (story.top / ".git" / "scaffold").exists()


def test_other_untracked_files_do_not_matter(story: Story) -> None:
    """Files that the update does not write are left alone, also in folders that it empties."""
    started(story, SOLO, {"train.py": LINES})
    story.write("tests/notes.txt", "mine\n")
    story.update()
    assert story.read("tests/notes.txt") == "mine\n"
    assert not (story.project / "tests/test_it.py").exists()


@pytest.mark.parametrize("staged", [False, True])
def test_edits_that_are_not_committed_are_refused(story: Story, staged: bool) -> None:
    """A working tree or an index with changes is refused, and the files are named."""
    started(story, SOLO, SOLO | {"train.py": LINES + "more\n"})
    story.edit("model.py", "2", "3")
    if staged:
        story.git("add", "model.py")
    before = story.everything()
    with pytest.raises(ScaffoldError, match=r"not committed: model\.py; commit or stash"):
        story.update()
    assert story.everything() == before


def test_edits_that_git_was_told_to_overlook_elsewhere_are_refused(
    tmp_path: Path, story: Story
) -> None:
    """Also where the update changes nothing: taking it back would reset these files as well."""
    story = Story(tmp_path / "larger", "top/project")
    (story.top / "local.cfg").write_text("shared\n")
    started(story, SOLO, SOLO | {"train.py": LINES + "more\n"})
    story.git("update-index", "--assume-unchanged", "local.cfg")
    story.update(dry_run=True)
    (story.top / "local.cfg").write_text("mine\n")
    with pytest.raises(ScaffoldError, match=r"git was told to overlook: \.\./local\.cfg"):
        story.update()
    assert (story.top / "local.cfg").read_text() == "mine\n"


@pytest.mark.parametrize("recurse", [False, True])
def test_edits_in_a_submodule_are_refused_if_a_reset_would_undo_them(
    story: Story, tmp_path: Path, recurse: bool
) -> None:
    """With submodule.recurse git resets submodules, too; without it their edits do not matter."""
    started(story, SOLO, SOLO | {"train.py": LINES + "more\n"})
    story.git("init", "--quiet", str(tmp_path / "other"))
    (tmp_path / "other/file").write_text("theirs\n")
    story.git("add", "file", at=str(tmp_path / "other"))
    story.git("commit", "--quiet", "--message", "Other", at=str(tmp_path / "other"))
    add = ("submodule", "--quiet", "add", str(tmp_path / "other"), "vendor")
    story.git("-c", "protocol.file.allow=always", *add)
    story.commit()
    story.git("config", "submodule.recurse", str(recurse).lower())
    story.write("vendor/file", "mine\n")
    if recurse:
        with pytest.raises(ScaffoldError, match="not committed: vendor; commit or stash"):
            story.update()
    else:
        story.update()
    assert story.read("vendor/file") == "mine\n"


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_edits_that_git_was_told_to_overlook_are_refused(story: Story, flag: str) -> None:
    """A file whose edits git does not show is looked at before it is written."""
    started(story, SOLO, SOLO | {"train.py": LINES + "more\n"})
    story.git("update-index", flag, "train.py")
    story.edit("train.py", "line 2\n", "line 2, mine\n")
    before = story.everything()
    with pytest.raises(ScaffoldError, match=r"git was told to overlook: train\.py"):
        story.update()
    assert story.everything() == before


def test_modes_links_and_binary_files_are_merged(story: Story) -> None:
    """A mode that one side changed, a link of the user's and a binary of either side survive."""
    old = SOLO | {"tool.sh": "#!/bin/sh\n", "a.bin": b"\0old a", "b.bin": b"\0old b"}
    new = old | {"tool.sh": File(b"#!/bin/sh\n", True), "a.bin": b"\0new a"}
    started(story, old, new)
    (story.project / "model.py").chmod(0o755)
    (story.project / "link").symlink_to("train.py")
    story.write("b.bin", b"\0mine \xff")
    story.commit()
    story.update()
    assert os.access(story.project / "tool.sh", os.X_OK)
    assert os.access(story.project / "model.py", os.X_OK)
    assert (story.project / "link").readlink() == Path("train.py")
    found = [(story.project / name).read_bytes() for name in ("a.bin", "b.bin")]
    assert found == [b"\0new a", b"\0mine \xff"]
    assert story.changed == []


def test_a_binary_file_that_both_changed_is_a_conflict_with_the_users_in_place(
    story: Story,
) -> None:
    """The user's version lies there, and git holds all three."""
    started(story, SOLO | {"a.bin": b"\0old"}, SOLO | {"a.bin": b"\0new"})
    story.write("a.bin", b"\0mine")
    story.commit()
    done = story.update()
    assert done is not None
    assert done.merged.conflicts == {"a.bin": "both changed"}
    assert (story.project / "a.bin").read_bytes() == b"\0mine"
    assert story.git("cat-file", "blob", ":3:a.bin") == "\0new"


def test_a_link_that_the_user_made_of_a_file_is_kept(story: Story) -> None:
    """A file that became a link, and that the template changed, is a conflict with the link."""
    started(story, SOLO, SOLO | {"train.py": LINES + "more\n"})
    (story.project / "train.py").unlink()
    (story.project / "train.py").symlink_to("model.py")
    story.commit()
    done = story.update()
    assert done is not None
    assert done.merged.conflicts
    links = [path.readlink() for path in story.project.iterdir() if path.is_symlink()]
    # Git before 2.34 lets the template's file lie there; the conflict has the link.
    assert links == [Path("model.py")] or story.git("cat-file", "blob", ":2:train.py") == "model.py"
    assert story.read("model.py") == SOLO["model.py"]


@pytest.mark.parametrize("back", [False, True])
def test_a_file_becomes_a_folder(story: Story, back: bool) -> None:
    """`data.py` becomes a folder `data.py/`, or the other way round, with what is inside."""
    one, other = SOLO | {"data": "one\n"}, SOLO | {"data/part": "two\n"}
    started(story, *((other, one) if back else (one, other)))
    story.update()
    assert story.read("data" if back else "data/part") == ("one\n" if back else "two\n")
    assert story.changed == []


def test_several_releases_are_one_step(story: Story) -> None:
    """From the first to the third release, whatever was there in between."""
    started(story, SOLO, {"model.py": "layers = 4\n"})
    story.release("0.3.0", SOLO | {"model.py": "layers = 6\n"})
    story.edit("train.py", "line 5\n", "line 5, mine\n")
    story.commit()
    story.update()
    assert "line 5, mine\n" in story.read("train.py")
    assert story.read("model.py") == "layers = 6\n"


def test_an_update_goes_to_the_release_that_is_asked_for(story: Story) -> None:
    """--to takes any release, an earlier one too: that is a merge like the others."""
    started(story, SOLO, SOLO | {"model.py": "layers = 4\n"})
    story.release("0.3.0", SOLO | {"model.py": "layers = 6\n"})
    story.update(to="0.2.0")
    assert story.read("model.py") == "layers = 4\n"
    story.write("own.py", "mine\n")
    story.commit()
    story.update()
    story.update(to="0.1.0")
    assert story.read("model.py") == SOLO["model.py"]
    assert story.read("own.py") == "mine\n"
    assert answers.read(story.project).version == "0.1.0"


def test_a_project_that_is_up_to_date_is_left_alone(story: Story) -> None:
    """There is nothing to do, and nothing is done."""
    started(story, SOLO, SOLO | {"model.py": "layers = 4\n"})
    story.update()
    before = story.head
    assert story.update() is None
    assert story.head == before


def test_a_dry_run_writes_nothing(story: Story) -> None:
    """It says what would be, conflicts too, and changes no file, also not in `.git`."""
    conflicted(story)
    before, inside = story.everything(), repository_files(story)
    told = reports.updated(story.update(dry_run=True), dry_run=True, commit=True)
    assert told.startswith("Would be: Update from Scaffold 0.1.0 to 0.2.0")
    assert "train.py: both changed" in told
    assert (story.everything(), repository_files(story)) == (before, inside)


def test_without_commit_the_update_is_staged(story: Story) -> None:
    """--no-commit leaves the branch where it is; `git commit` makes what the update would."""
    started(story, SOLO, SOLO | {"model.py": "layers = 4\n", "new.py": "new\n"})
    before, files = story.head, story.everything()
    story.update(commit=False)
    assert story.head == before
    assert story.changed == ["M  .scaffold.yml", "M  model.py", "A  new.py"]
    assert not (story.top / ".git" / "CHERRY_PICK_HEAD").exists()
    story.git("reset", "--quiet", "--merge")
    assert story.everything() == files
    story.update(commit=False)
    story.git("commit", "--quiet")
    staged = story.git("log", "-1", "--format=%B%T")
    story.git("reset", "--quiet", "--hard", before)
    story.update()
    assert staged == story.git("log", "-1", "--format=%B%T")
    assert staged.startswith("Update from Scaffold 0.1.0 to 0.2.0, template small\n")


def test_a_conflict_without_commit_can_be_taken_back(story: Story) -> None:
    """--no-commit with a conflict names the command that takes it back, and it does."""
    conflicted(story)
    before = story.everything()
    told = reports.updated(story.update(commit=False), dry_run=False, commit=False)
    assert "git reset --merge" in told
    assert not (story.top / ".git" / "CHERRY_PICK_HEAD").exists()
    story.git("reset", "--quiet", "--merge")
    assert story.everything() == before


def started(story: Story, old: dict[str, object], new: dict[str, object]) -> None:
    """Let there be two releases, and a project of the first."""
    story.release("0.1.0", old)  # type: ignore[arg-type]
    story.release("0.2.0", new)  # type: ignore[arg-type]
    story.start()


def conflicted(story: Story) -> None:
    """Let there be a project whose update has conflicts, new, changed, moved and removed files."""
    old = SOLO | {"gone.py": "gone\n", "moved.py": LINES + "a\n", "tool.sh": "#!/bin/sh\n"}
    new = {
        "train.py": LINES.replace("line 5\n", "line 5, theirs\n"),
        "tests/test_it.py": "pass\npass\n",
        "new/deep.py": "new\n",
        "lib/moved.py": LINES + "a\n",
        "tool.sh": File(b"#!/bin/sh\n", True),
    }
    started(story, old, new)
    story.edit("train.py", "line 5\n", "line 5, mine\n")
    story.edit("model.py", "2", "3")
    story.write("own/notes.txt", "mine\n")
    story.commit()


def repository_files(story: Story) -> dict[str, bytes]:
    folder = story.top / ".git"
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
